# The user of the environment and the group that may change its Python packages: NAME UID GROUP GID.
set -eu
old=$(getent passwd "$2" | cut -d: -f1)
if [ -n "$old" ] && [ "$old" != "$1" ]; then userdel -r "$old" 2> /dev/null || userdel "$old"; fi
getent group "$2" > /dev/null || groupadd -g "$2" "$1"
getent group "$3" > /dev/null || groupadd -o -g "$4" "$3"
useradd -m -u "$2" -g "$2" -G "$3" -s /bin/bash "$1"
mkdir -p /etc/sudoers.d /workspace
printf '%s ALL=(ALL:ALL) NOPASSWD: ALL\n' "$1" > /etc/sudoers.d/devenv
chmod 440 /etc/sudoers.d/devenv
chown "$2:$2" /workspace
