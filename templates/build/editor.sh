# Compile code-server's native parts and leave only what runs: /opt/code-server.
set -eu
ln -s /run/node/node /opt/node
export PATH="/opt/node/bin:$PATH" HOME=/tmp/home PYTHONDONTWRITEBYTECODE=1 JOBS=max
export npm_config_nodedir=/run/node/node-headers npm_config_registry=http://127.0.0.1:4873/ npm_config_cache=/tmp/npm
# The shrinkwrap has peers that npm would otherwise want to resolve anew, which needs a registry's full answers.
export npm_config_legacy_peer_deps=true npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
node /run/build/registry.mjs /run/editor/npm 4873 &
registry=$!
while [ ! -e /tmp/registry-ready ]; do sleep 0.02; done
mkdir /opt/code-server
tar -xzf /run/editor/code-server.tgz -C /opt/code-server --strip-components=1 --no-same-owner
cd /opt/code-server
npm ci --omit=dev --foreground-scripts
kill "$registry"
# Compilers' leftovers, which record paths and times, and parts for other systems.
find . -depth \( -name obj.target -o -name .deps -o -name __pycache__ \) -type d -exec rm -rf {} +
find . \( -name '*.o' -o -name '*.a' -o -name '*.pyc' -o -name config.gypi -o -name .package-lock.json \) -type f -delete
find . -path '*/build/*' \( -name Makefile -o -name '*.mk' -o -name 'gyp-mac-tool' \) -type f -delete
find . -path '*/prebuilds/*' -mindepth 2 -type d -path '*/prebuilds/*' ! -name 'linux-*' -prune -exec rm -rf {} +
find . -name '*.map' -type f -delete
node out/node/entry.js --version
rm -rf /tmp/*
