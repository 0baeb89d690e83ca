# Make the wheel of a Python package from its source archive, and put it into /wheel:
# PYTHON (MAJOR.MINOR) ARCHIVE NAME VERSION BACKEND [FOLDER…], the backend's own folders in the archive. VERSION may be
# @COMMIT, of a repository.
# The package's code runs as a user that owns nothing else, with no network, and with limits on time, processes and disk.
set -eu
umask 022
python=$1 archive=$2 name=$3 version=$4
shift 4
user=64321
# Backends that read the version from a repository's tags have no repository here.
case "$version" in @*) tagged=0+g${version#@} ;; *) tagged= ;; esac
cd /run/source
sha256sum --check --quiet --strict SHA256SUMS
export UV_NO_CONFIG=1 UV_OFFLINE=1 UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
mkdir -p /opt/tmp
export TMPDIR=/opt/tmp # on the disk, because build requirements may be large
/run/uv/uv venv --quiet --python "/usr/bin/python$python" /opt/build
if [ -s requires/requirements.txt ]; then
    /run/uv/uv pip install --quiet --python /opt/build/bin/python --no-index --no-deps --find-links requires \
        --require-hashes --requirements requires/requirements.txt
fi
for built in /run/built/*/*.whl; do
    if [ -e "$built" ]; then /run/uv/uv pip install --quiet --python /opt/build/bin/python --no-index --no-deps "$built"; fi
done
# Links and a name that packages make when they are configured, which those of a bare root were not.
for pair in awk:mawk cc:gcc c++:g++ which:which.debianutils; do
    if [ ! -e "/usr/bin/${pair%%:*}" ] && [ -e "/usr/bin/${pair#*:}" ]; then
        ln -s "${pair#*:}" "/usr/bin/${pair%%:*}"
    fi
done
if [ ! -e /etc/passwd ]; then echo "build:x:$user:$user::/build/home:/bin/sh" > /etc/passwd; fi
# In a checkout of others the script may be readable for its owner alone.
cp /run/build/source.py /opt/source.py
chmod 0644 /opt/source.py
mkdir -p /build/home /build/tmp /build/out /wheel
chown "$user:$user" /build /build/home /build/tmp /build/out
# Folders of everybody on the engine's disk (/run/lock), which no limit holds for.
find / -xdev -type d -perm -0002 -exec chmod o-w {} +
# What the backend sees of this machine: names and paths that are the same everywhere, and a time that does not pass.
# The clock is root's, because what runs could stop one of its own.
limited() {
    timeout --kill-after=10 1800 \
        setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
        nice -n 5 prlimit --nproc=512 --core=0 --fsize=4294967296 \
        env -i PATH=/opt/build/bin:/usr/local/bin:/usr/bin:/bin HOME=/build/home TMPDIR=/build/tmp \
        VIRTUAL_ENV=/opt/build LC_ALL=C.UTF-8 TZ=UTC SOURCE_DATE_EPOCH=1700000000 PYTHONHASHSEED=0 \
        PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1 CC=gcc CXX=g++ CFLAGS=-g0 CXXFLAGS=-g0 \
        ${tagged:+"SETUPTOOLS_SCM_PRETEND_VERSION=$tagged" "PBR_VERSION=0"} \
        "$@" < /dev/null > /build/log 2>&1
}
failed() {
    status=$?
    python3 -I -B /opt/source.py end /build/log
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then echo "devenv: the build was stopped after 30 minutes"; fi
    echo "devenv: the build of $name $version failed with status $status"
    exit 1
}
limited /opt/build/bin/python -I /opt/source.py unpack "/run/source/$archive" /build/src || failed
cd /build/src
limited /opt/build/bin/python /opt/source.py build /build/out "$@" || failed
cd /
# What the build left running would write while its result is read; this ends itself, too.
setpriv --reuid "$user" --regid "$user" --clear-groups sh -c 'kill -KILL -1' || true
python3 -I -B /opt/source.py take /build/out /wheel "$name" "$version"
