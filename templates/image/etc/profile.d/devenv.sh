# Logins know what services know, and the image's own PATH, which /etc/profile has just replaced.
if [ -r /run/devenv/env.sh ]; then . /run/devenv/env.sh; fi
for folder in /opt/npm/bin /opt/node/bin /opt/venv/bin; do
    if [ -d "$folder" ]; then PATH="$folder:$PATH"; fi
done
unset folder
export PATH SVDIR=/run/devenv/sv
