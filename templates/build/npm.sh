# Install the preset's own npm packages: /opt/npm, programs in /opt/npm/bin.
set -eu
export PATH="/opt/node/bin:$PATH" HOME=/tmp/home npm_config_cache=/tmp/npm npm_config_registry=http://127.0.0.1:4873/
export npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
node /run/build/registry.mjs /run/npm/tarballs 4873 &
registry=$!
while [ ! -e /tmp/registry-ready ]; do kill -0 "$registry" || exit 1; sleep 0.02; done
mkdir /opt/npm
cp /run/npm/package.json /run/npm/package-lock.json /opt/npm/
cd /opt/npm
npm ci --omit=dev --ignore-scripts
kill "$registry"
ln -s node_modules/.bin bin
rm -rf node_modules/.package-lock.json /tmp/*
