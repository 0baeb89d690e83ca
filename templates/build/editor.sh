# Compile code-server's native parts and leave only what runs: /opt/code-server.
set -eu
cd /run/editor
sha256sum --check --quiet --strict SHA256SUMS
mkdir -p /opt
ln -s /run/node/node /opt/node
export PATH="/opt/node/bin:$PATH" HOME=/tmp/home PYTHONDONTWRITEBYTECODE=1 JOBS=max
export npm_config_nodedir=/run/node/node-headers npm_config_registry=http://127.0.0.1:4873/ npm_config_cache=/tmp/npm
# The shrinkwrap has peers that npm would otherwise want to resolve anew, which needs a registry's full answers.
export npm_config_legacy_peer_deps=true npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
# What is compiled here waits for terminals and files: to optimise it further only takes longer.
export CFLAGS=-Og CXXFLAGS=-Og npm_config_loglevel=info
# By the names that the packages themselves give: `cc` and `c++` are links that only configuring makes.
export CC=gcc CXX=g++
node /run/build/registry.mjs /run/editor/npm 4873 &
registry=$!
while [ ! -e /tmp/registry-ready ]; do kill -0 "$registry" || exit 1; sleep 0.02; done
mkdir /opt/code-server
tar -xzf /run/editor/code-server.tgz -C /opt/code-server --strip-components=1 --no-same-owner
cd /opt/code-server
# AI agents: switched off in the settings, and useless without an account. They are half of the editor.
rm -rf lib/vscode/extensions/copilot
node /run/build/trim.mjs /opt/code-server /run/editor/npm
# Not --foreground-scripts: modules then compile one after the other.
NODE_OPTIONS=--require=/run/build/parallel.cjs npm ci --omit=dev
kill "$registry"
# Of what was compiled only the modules stay: the rest records paths and times. Nor do parts for other systems.
find . -name binding.gyp -printf '%h/build\n' | while read -r built; do
    if [ -d "$built" ]; then find "$built" -type f ! -path "$built/Release/*.node" -delete; fi
done
find . -path '*/obj.target/*' -type f -delete
arch=$(node -p process.arch)
find . -depth -type d -regextype posix-extended -regex '.*/(linux|darwin|win32|win10|freebsd|android)-[a-z0-9]+' \
    \( -path '*/prebuilds/*' -o -path '*/bin/*' -o -path '*/third_party/*' \) ! -name "linux-$arch" -exec rm -rf {} +
for other in x64 arm64; do
    if [ "$other" != "$arch" ]; then find . -depth -type d -path "*/bin/$other" -exec rm -rf {} +; fi
done
find . -type f \( -name '*.exe' -o -name '*.dll' -o -name '*.pdb' -o -name '*.dylib' -o -name '*.pyc' -o -name '*.map' \
    -o -name .package-lock.json \) -delete
# Sources of the native modules: SQLite's alone are 3 MB.
find node_modules lib/vscode/node_modules -type f -regextype posix-extended \
    -regex '.*\.(c|cc|cpp|h|hpp|gyp|gypi)|.*/sqlite-autoconf-.*\.tar\.gz' -delete
find . -depth -type d -empty -delete
python3 -B /run/build/link.py /opt/code-server
node out/node/entry.js --version
rm -rf /tmp/*
