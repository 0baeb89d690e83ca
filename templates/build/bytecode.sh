# Bytecode of the system's Python that is the same at every build and is never checked against its source again.
set -eu
export PYTHONHASHSEED=0 # before 3.11 the order of constant sets depends on it
for library in /usr/lib/python3.[0-9]* /usr/lib/python3; do
    test -d "$library" || continue
    find "$library" -name __pycache__ -prune -exec rm -rf {} +
    python3 -B -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(test|tests|lib2to3/tests|idlelib)/' "$library"
done
