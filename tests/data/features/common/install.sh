#!/bin/bash
# As common-utils: the remote user, its shell and its rights.
set -e
[ "$(id -u)" = 0 ]
[ "$USERNAME" != automatic ] || USERNAME=$_REMOTE_USER
id "$USERNAME"
mkdir -p /etc/sudoers.d
echo "$USERNAME ALL=(root) NOPASSWD:ALL" > "/etc/sudoers.d/$USERNAME"
chmod 0440 "/etc/sudoers.d/$USERNAME"
usermod --shell /bin/bash "$USERNAME"
echo 'export FROM_COMMON=1' >> "$_REMOTE_USER_HOME/.bashrc"
echo 'export FROM_COMMON=1' >> /etc/bash.bashrc
