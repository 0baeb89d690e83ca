#!/bin/sh
# As git: the one of the distribution is there, and its system settings change.
set -e
. /etc/os-release
[ "$ID $VERSION_CODENAME" = "debian bookworm" ]
git --version
git config --system --add safe.directory '*'
