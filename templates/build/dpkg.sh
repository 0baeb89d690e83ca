# Install the .deb files of a folder that its file SHA256SUMS names, in its order.
set -eu
cd "$1"
test -s SHA256SUMS || exit 0
sha256sum --check --quiet --strict SHA256SUMS
# No service may start during a build. A root that is not a container image may lack the file that prevents it.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
fi
# The packages are in unpacking order. dpkg itself finds the order in which it configures them.
cut -c 67- SHA256SUMS | xargs dpkg --force-depends --force-unsafe-io --force-confold --install
audit=$(dpkg --audit)
if [ -n "$audit" ]; then
    echo "$audit" >&2
    exit 1
fi
# Because of that order dpkg had to ignore missing dependencies. Now none may be missing; apt names those that are.
apt-get check -q
