#!/bin/sh
# As github-cli: a package by apt, which depends on one that is there. It is made here, so that no network is needed.
set -e
folder=$(mktemp -d)
chmod 755 "$folder"
mkdir -p "$folder/hub/DEBIAN" "$folder/hub/usr/bin"
cat > "$folder/hub/DEBIAN/control" << CONTROL
Package: hub
Version: 2.99
Architecture: all
Maintainer: Nobody <nobody@example.org>
Depends: git
Description: a program
CONTROL
printf '#!/bin/sh\necho hub 2.99\n' > "$folder/hub/usr/bin/hub"
chmod 755 "$folder/hub/usr/bin/hub"
dpkg-deb --build "$folder/hub" "$folder/hub.deb"
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$folder/hub.deb"
rm -rf "$folder"
