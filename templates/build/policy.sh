# Files that a fresh Debian root needs before its packages are installed inside a container.
set -eu
mkdir -p /usr/sbin /etc/dpkg/dpkg.cfg.d /etc/apt/apt.conf.d
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
cat > /etc/dpkg/dpkg.cfg.d/devenv <<'CFG'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
path-exclude=/usr/lib/python3*/config-*/libpython*.a
path-exclude=/usr/lib/*/libpython3*.a
path-exclude=/usr/bin/*lto-dump*
CFG
printf 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n' > /etc/apt/apt.conf.d/90devenv
find /usr/share/doc -type f ! -name copyright -delete
find /usr/share/doc -type l -delete
rm -rf /usr/share/info/* /usr/share/lintian /usr/share/locale/* /usr/share/man/*
