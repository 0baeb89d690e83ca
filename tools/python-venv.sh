#!/bin/sh
# Debian and Ubuntu split venv off from Python: install the package that brings it, after saying so.
set -eu
version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
package="python$version-venv"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "error: $1 has no venv module" >&2
    echo "hint: install your distribution's package for it" >&2
    exit 2
fi
root=
[ "$(id -u)" -eq 0 ] || root=sudo
echo "About to install $package with apt-get (Python's venv module is missing)." >&2
$root apt-get update -qq
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >&2
