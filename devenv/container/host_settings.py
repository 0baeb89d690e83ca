"""This host's settings for a container, so that `pip`, `npm` and `apt-get` find the same servers in it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from devenv.doors.settings.settings import Settings

_SYSTEM_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Arch
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora, RHEL
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """`variables` for every process inside, a CA bundle, apt's sources (deb822 text), and git's configuration for all
    users inside. May hold credentials."""

    variables: Mapping[str, str]
    ca_bundle: Path | None
    apt_sources: str
    git_config: str


def brought(settings: Settings, carried: Mapping[str, str], distribution: str, release: str) -> Brought:
    """From the user's settings and the variables that the command line `carried` over.

    Addresses that only this host can reach (files, its own loopback) are left out.
    """
    pip = settings.pip
    variables = {
        "PIP_INDEX_URL": pip.index or "",
        "PIP_EXTRA_INDEX_URL": " ".join(pip.extra_indexes),
        **carried,
    }
    reachable = {
        name: " ".join(word for word in value.split(" ") if not _local(word)) for name, value in variables.items()
    }
    bundle = settings.ca_bundle or next((path for path in _SYSTEM_BUNDLES if path.is_file()), None)
    return Brought(
        variables={name: value for name, value in reachable.items() if value},
        ca_bundle=bundle,
        apt_sources=_apt_sources(settings, distribution, release),
        git_config=_git_config(settings.git_user),
    )


def _git_config(user: Mapping[str, str]) -> str:
    """The user's name and email; permission to work in the project under any owner; and no pruning of worktree records
    whose worktree lies elsewhere on the host."""
    who = "".join(f'\t{key} = "{_git_escaped(value)}"\n' for key, value in sorted(user.items()))
    return (
        "[include]\n\tpath = /etc/gitconfig\n"
        + (f"[user]\n{who}" if who else "")
        + "[safe]\n\tdirectory = /workspace\n[gc]\n\tworktreePruneExpire = never\n"
    )


def _git_escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _apt_sources(settings: Settings, distribution: str, release: str) -> str:
    """The user's own sources, as far as they are the distribution's (signed by its key ring, or with its name in the
    address), for the release of the container: packages of another one would replace its C library."""
    mine = [
        source
        for source in settings.apt
        if not _local(source.uri)
        and (f"/{distribution}" in source.uri or any(distribution in key for key in source.signed_by))
    ]
    own = [(source, [suite for suite in source.suites if _release(suite) == release]) for source in mine]
    fitting = [(source, suites) for source, suites in own if suites]
    if not fitting:  # this machine runs another release: its mirrors have the container's as well
        fitting = [(one, list(dict.fromkeys(f"{release}{_pocket(suite)}" for suite in one.suites))) for one in mine]
    key = f"/usr/share/keyrings/{distribution}-archive-keyring.gpg"
    return "\n".join(
        f"Types: deb\nURIs: {source.uri}\nSuites: {' '.join(suites)}\n"
        f"Components: {' '.join(source.components)}\nSigned-By: {key}\n"
        for source, suites in fitting
    )


def _release(suite: str) -> str:
    """`bookworm` of `bookworm-updates` and of `bookworm/updates`."""
    return re.split("[-/]", suite, maxsplit=1)[0]


def _pocket(suite: str) -> str:
    return suite.removeprefix(_release(suite)).rstrip("/")


def _local(address: str) -> bool:
    return address.startswith(("file:", "/", "./")) or "://127." in address or "://localhost" in address
