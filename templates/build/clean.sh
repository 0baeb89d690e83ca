# Remove files that only the installation needs, and files that differ between two installations of the same packages.
set -eu
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/* /var/cache/fontconfig/*
rm -rf /var/lib/dpkg/*-old /var/lib/dpkg/lock* /var/lib/dpkg/triggers/Lock /tmp/* /var/tmp/* /root/.cache
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /etc/.pwd.lock /etc/machine-id /run/adduser
find /var/log -type f -delete
# The day of the last password change would be the day of the build.
sed -i -E 's/^([^:]*:[^:]*:)[0-9]*:/\119000:/' /etc/shadow
# Each container makes keys of its own: those that the package made for this image would be everybody's.
rm -f /etc/ssh/ssh_host_*
