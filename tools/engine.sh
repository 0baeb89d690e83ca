#!/bin/sh
# Make sure that a Docker Engine with BuildKit (buildx) answers on this machine.
#
# Does nothing when one does. Otherwise prints what it is about to do, then installs Debian's or Ubuntu's own packages
# from the mirrors that this machine's apt already uses, and starts the engine. Nothing is downloaded from elsewhere.
#
#   tools/engine.sh           install what is missing and start
#   tools/engine.sh --check   only print what is missing (exit 1 when something is)
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $1"; say "hint: $2"; exit 6; }

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
engine_installed() { command -v dockerd >/dev/null 2>&1; }
buildx_installed() { docker buildx version >/dev/null 2>&1; }
major() { docker version --format '{{.Server.Version}}' 2>/dev/null | cut -d. -f1; }

missing=
if engine_answers; then
    [ "$(major)" -ge 23 ] 2>/dev/null || missing="Docker Engine 23 or newer (this one is $(major))"
elif ! engine_installed; then
    missing="Docker Engine"
fi
buildx_installed || missing="${missing:+$missing and no }docker buildx"

if [ "${1:-}" = --check ]; then
    [ -z "$missing" ] || { say "missing: $missing"; exit 1; }
    engine_answers || { say "missing: a running Docker Engine"; exit 1; }
    exit 0
fi

root=
if [ "$(id -u)" -ne 0 ]; then
    if [ -n "$missing" ] || ! engine_answers; then
        if docker version 2>&1 | grep -qi 'permission denied'; then
            die "this user may not use the Docker Engine" "sudo usermod -aG docker $(id -un), then log in again"
        fi
        command -v sudo >/dev/null 2>&1 || die "installing or starting the engine needs root, and there is no sudo" \
            "ask your administrator for docker.io and docker-buildx, or for rootless Docker"
        root=sudo
    fi
fi

if [ -n "$missing" ]; then
    [ -r /etc/os-release ] || die "cannot tell what system this is" "install Docker Engine 23 or newer with buildx by hand"
    . /etc/os-release
    case "$ID" in
    debian | ubuntu) ;;
    *) die "tools/engine.sh knows Debian and Ubuntu; this is $ID" "install Docker Engine 23 or newer with buildx by hand" ;;
    esac
    packages="docker.io docker-buildx iptables"
    apt-cache show docker-cli >/dev/null 2>&1 && packages="$packages docker-cli"
    say "This machine has no $missing. About to install, with apt-get from this machine's own mirrors:"
    if [ "$ID" = debian ] && [ "${VERSION_ID:-0}" -lt 13 ]; then
        packages="docker.io docker-cli docker-buildx containerd runc iptables"
        say "    $packages"
        say "    (Debian $VERSION_ID's own engine is too old: docker.io, docker-cli, docker-buildx and containerd come from"
        say "     Debian 13, pinned to just these by /etc/apt/sources.list.d/devenv-trixie.sources and"
        say "     /etc/apt/preferences.d/devenv-trixie)"
    else
        say "    $packages"
    fi
    say "Press Ctrl-C within 5 seconds to stop it."
    [ -n "${CI:-}" ] || sleep 5

    if [ "$ID" = debian ] && [ "${VERSION_ID:-0}" -lt 13 ]; then
        # The machine's own Debian source, with the suite changed: so a mirror, a proxy and a key stay the user's.
        old_format=
        if [ ! -r /etc/apt/sources.list.d/debian.sources ]; then
            old_format=$(grep -hE '^deb .*[ /]bookworm main' /etc/apt/sources.list | head -n 1)
            [ -n "$old_format" ] ||
                die "no Debian mirror in this machine's apt sources" "install Docker Engine 23 or newer by hand"
        fi
        if [ -z "$old_format" ]; then
            sed -n '1,/^$/p' /etc/apt/sources.list.d/debian.sources |
                sed -e '/^#/d' -e 's/^Suites:.*/Suites: trixie/' -e 's/^Components:.*/Components: main/'
        else
            uri=$(printf '%s' "$old_format" | sed -E 's/^deb (\[[^]]*\] )?([^ ]+).*/\2/')
            printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' \
                "$uri" /usr/share/keyrings/debian-archive-keyring.gpg
        fi | $root tee /etc/apt/sources.list.d/devenv-trixie.sources >/dev/null
        $root tee /etc/apt/preferences.d/devenv-trixie >/dev/null <<-PIN
		Package: *
		Pin: release n=trixie
		Pin-Priority: -10

		Package: docker.io docker-cli docker-buildx docker-compose containerd
		Pin: release n=trixie
		Pin-Priority: 600
		PIN
    fi
    $root apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >&2
fi

if ! engine_answers; then
    say "Starting the Docker Engine."
    if [ -d /run/systemd/system ]; then
        $root systemctl enable --now docker
    else
        # No systemd (a container, a minimal machine): start it by hand, apart from this shell.
        $root sh -c 'setsid dockerd >/var/log/dockerd.log 2>&1 </dev/null &'
    fi
    tries=0
    until engine_answers; do
        tries=$((tries + 1))
        if docker version 2>&1 | grep -qi 'permission denied'; then
            die "the engine runs, but this user may not use it yet" \
                "sudo usermod -aG docker $(id -un), then log in again and run this once more"
        fi
        if [ "$tries" -gt 120 ]; then
            tail -n 5 /var/log/dockerd.log >&2 2>/dev/null || true
            die "the Docker Engine did not start within 60 s" "see /var/log/dockerd.log or: journalctl -u docker"
        fi
        sleep 0.5
    done
fi
say "Docker Engine $(docker version --format '{{.Server.Version}}') answers; $(docker buildx version | cut -d' ' -f1,2)."
