#!/bin/bash
# As node: a folder of a group, first in PATH, tried as the user.
set -e
groupadd --system nvm
usermod --append --groups nvm "$_REMOTE_USER"
mkdir -p "$NVM_DIR/current/bin"
printf '#!/bin/sh\necho v99.0.0\n' > "$NVM_DIR/current/bin/node"
chmod 755 "$NVM_DIR/current/bin/node"
chown -R "$_REMOTE_USER:nvm" "$NVM_DIR"
su "$_REMOTE_USER" -c "$NVM_DIR/current/bin/node --version"
echo "export NVM_DIR='$NVM_DIR'" >> /etc/bash.bashrc
