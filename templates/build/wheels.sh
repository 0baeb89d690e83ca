# Install one layer of wheels, /run/wheels and those made from source, /run/built, into /opt/venv, a virtual environment of PYTHON that GROUP may change:
# GROUP PYTHON (MAJOR.MINOR) [INTO]. With INTO the new files get a second name below that folder.
set -eu
umask 0002
export UV_NO_CONFIG=1 UV_OFFLINE=1 UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy TMPDIR=/tmp
export PYC_INVALIDATION_MODE=UNCHECKED_HASH UV_COMPILE_BYTECODE_TIMEOUT=0 PYTHONHASHSEED=0
touch /tmp/began
if [ ! -e /opt/venv ]; then
    mkdir -p /opt/venv
    chgrp "$1" /opt/venv
    chmod 2775 /opt/venv
    /run/uv/uv venv --allow-existing --python "/usr/bin/python$2" --prompt devenv /opt/venv
fi
if [ -e /run/wheels ]; then
    /run/uv/uv pip install --python /opt/venv/bin/python --no-index --no-deps --find-links /run/wheels \
        --require-hashes --compile-bytecode --requirements /run/wheels/requirements.txt
fi
# Wheels that this build made itself, each in a stage of its own.
for built in /run/built/*; do
    if [ -e "$built/requires.json" ]; then
        echo "the build of ${built##*/} asks for more than the lock has; lock again: $(cat "$built/requires.json")" >&2
        exit 1
    elif [ -e "$built" ]; then
        cd "$built"
        wheel=$(echo ./*.whl)
        wheel=${wheel#./}
        /run/uv/uv pip install --python /opt/venv/bin/python --no-index --no-deps --find-links "$built" \
            --compile-bytecode "${wheel%%-*}"
    fi
done
cd /
# uv records when it saw each local file, and that time differs from build to build.
find /opt/venv -name uv_cache.json -delete
grep -rl --include=RECORD uv_cache.json /opt/venv/lib | xargs -r sed -i '/uv_cache.json/d'
rm -f /opt/venv/.lock
# Bytecode of tests is compiled when they run, as for the system's Python.
find /opt/venv -path '*/__pycache__/*' \( -path '*/test/*' -o -path '*/tests/*' \) -cnewer /tmp/began -delete
find /opt/venv -name __pycache__ -empty -cnewer /tmp/began -delete
python3 -B /run/build/link.py /opt/venv /tmp/began
# Only this layer's own files, because a change to files of a lower layer copies them into this one.
find /opt/venv ! -group "$1" -exec chgrp -h "$1" {} +
find /opt/venv -type d ! -perm -2775 -exec chmod 2775 {} +
find /opt/venv -type f ! -perm -0020 -exec chmod g+w {} +
if [ $# = 3 ]; then
    install -d -m 755 /layer "$3" "$3/opt"
    cd /opt
    find venv -cnewer /tmp/began ! -type d -print0 | xargs -0r cp --archive --link --parents --target-directory "$3/opt"
fi
rm /tmp/began
