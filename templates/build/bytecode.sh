# Bytecode of Pythons' own libraries that is the same at every build and is never checked against its source again:
# PYTHON…, interpreters such as python3.13; all that are installed when none is named. Each compiles its own library.
set -eu
export PYTHONHASHSEED=0 # before 3.11 the order of constant sets depends on it
if [ $# = 0 ]; then
    cd /usr/lib
    set -- python3.[0-9]* python3
fi
for python in "$@"; do
    library=/usr/lib/$python
    test -d "$library" && test -x "/usr/bin/$python" || continue
    find "$library" -name __pycache__ -prune -exec rm -rf {} +
    "/usr/bin/$python" -B -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(test|tests|lib2to3/tests|idlelib)/' "$library"
done
