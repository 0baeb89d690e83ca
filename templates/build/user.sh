# The user of the environment and the group that may change its Python packages: NAME UID GROUP GID.
set -eu
old=$(getent passwd "$2" | cut -d: -f1)
if [ -n "$old" ] && [ "$old" != "$1" ]; then userdel -r "$old" 2> /dev/null || userdel "$old"; fi
getent group "$2" > /dev/null || groupadd -g "$2" "$1"
getent group "$3" > /dev/null || groupadd -o -g "$4" "$3"
if getent passwd "$1" > /dev/null; then
    usermod -u "$2" -g "$2" -a -G "$3" -s /bin/bash "$1"
else
    useradd -m -u "$2" -g "$2" -G "$3" -s /bin/bash "$1"
fi
# No password, but not locked: an SSH server that runs as root lets no locked user in, also with a key.
usermod -p '*' "$1"
mkdir -p /etc/sudoers.d /workspace
cat > /etc/sudoers.d/devenv << RULES
$1 ALL=(ALL:ALL) NOPASSWD: ALL
Defaults:$1 !secure_path
Defaults:$1 env_keep += "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy"
Defaults:$1 env_keep += "SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE PIP_CERT GIT_SSL_CAINFO NODE_EXTRA_CA_CERTS"
RULES
chmod 440 /etc/sudoers.d/devenv
chown "$2:$2" /workspace
