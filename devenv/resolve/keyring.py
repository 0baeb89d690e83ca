"""The keys that sign a distribution's archive: the machine's own, else from a package that its own apt verifies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import Web
from devenv.doors.process import ProcessError, run
from devenv.doors.settings.settings import Settings
from devenv.errors import LockError
from devenv.fetch.sources import Place, Sources
from devenv.fetch.store import Store, bring
from devenv.lock.model import Deb
from devenv.resolve.apt import Apt

_PACKAGES = {"debian": "debian-archive-keyring", "ubuntu": "ubuntu-keyring"}


def keyring(distribution: str, *, settings: Settings, store: Store, web: Web) -> Path | None:
    """A key ring file for that distribution's archive; None when this machine cannot get one.

    On another distribution than its own, a machine seldom has it installed; its own archive has the package, signed
    with keys that it does have. Nothing is installed: the file goes to the store.
    """
    found = sorted(settings.keyrings.glob(f"{distribution}-archive-keyring.*"))
    if found:
        return found[0]
    own, _, release = settings.release.partition("/")
    if not own or own == distribution:
        return None
    suites = [suite for source in settings.apt if "main" in source.components for suite in source.suites]
    for suite in dict.fromkeys((release, *(one for one in suites if one.isalpha()))):
        try:
            deb = _package(_PACKAGES[distribution], own, suite, settings, store)
        except LockError:
            continue
        found = _unpacked(deb, distribution, Sources(settings, web).deb(deb, own, suite), store=store, web=web)
        if found and re.search(r"[\s,]", str(found[0])):
            raise LockError(
                f"apt reads no key ring below a folder with a space or a comma in its name: {found[0]}",
                hint=f"install {_PACKAGES[distribution]}, or set XDG_CACHE_HOME to another folder",
            )
        return found[0] if found else None
    return None


def _unpacked(deb: Deb, distribution: str, places: Iterable[Place], *, store: Store, web: Web) -> list[Path]:
    wanted = Wanted(name=deb.file, digests=(("sha256", deb.sha256),), size_bytes=deb.size)
    bring(store, web, wanted, lambda: places)

    def unpack(target: Path) -> None:
        run(("dpkg-deb", "--extract", str(store.path(deb.sha256)), str(target)))

    try:
        folder = store.derive("keyring", deb.sha256, unpack)
    except (FileNotFoundError, ProcessError):
        return []
    return sorted(folder.glob(f"usr/share/keyrings/{distribution}-archive-keyring.*"))


def _package(name: str, distribution: str, release: str, settings: Settings, store: Store) -> Deb:
    apt = Apt(distribution=distribution, release=release, settings=settings, store=store)
    found = [deb for deb in apt.resolve((name,)) if deb.name == name]
    if not found:
        raise LockError(f"{distribution}/{release} has no {name}")
    return found[0]
