#!/bin/bash
# As docker-outside-of-docker: a group, a mount, and a program before the container's own.
set -e
groupadd --system outside
usermod --append --groups outside "$_REMOTE_USER"
cat > /usr/local/share/outside-init.sh << 'SCRIPT'
#!/bin/bash
touch /run/entered
exec "$@"
SCRIPT
chmod 755 /usr/local/share/outside-init.sh
