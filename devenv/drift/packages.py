"""Packages as their own records describe them, and which files a record explains.

A record in a container proves nothing: it explains a file only where it has a hash that fits, and where the image has
no file of another package at that place. The package itself is named in any case.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Callable, Collection, Mapping

from devenv.drift.entries import Entry, chain, never
from devenv.drift.items import Item, Pool, total_bytes
from devenv.drift.observe import Difference

SITE = re.compile(r"^.*/(?:site|dist)-packages/.")
"""Inside a folder of Python packages."""
Owner = Callable[[str], str | None]
"""The package that has a file in the image."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One package in the container, or (`version` empty) one that is there no more. `files`: path to the hash that its
    record gives, `sha256:…` or `md5:…`, or empty."""

    kind: str
    name: str
    version: str
    was: str = ""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    old: Collection[str] = ()  # its files in the image
    own: Callable[[str], bool] = never  # what is its own by place: its notes about itself
    asked_for: bool = False
    origin: str = ""
    is_editable: bool = False
    place: str = ""  # where it lies, when not where the lock puts packages

    @property
    def change(self) -> str:
        """added, changed, removed, or editable."""
        if not self.version:
            return "removed"
        return "editable" if self.is_editable else "changed" if self.was else "added"


def explained(package: Package, pool: Pool) -> Item:
    """The item of a package; takes the files that it explains out of the pool."""
    taken = [one for path in package.files if (one := pool.get(path)) and _explains(package, one)]
    folders = {above for path in package.files for above in chain(posixpath.dirname(path)) if SITE.match(above)}
    taken += [
        one for one in pool
        if package.own(one.path) or one.path in folders or (one.after is None and one.path in package.old)
    ]  # fmt: skip
    pool.drop(taken)
    return Item(
        kind=package.kind, change=package.change, name=package.name, was=package.was, now=package.version,
        paths=tuple(sorted({one.path for one in taken})), bytes=total_bytes(taken), asked_for=package.asked_for,
        origin=package.origin, note=package.place and f"in {package.place}",
    )  # fmt: skip


def _explains(package: Package, one: Difference) -> bool:
    if one.before is not None and one.before.kind != "folder" and one.path not in package.old:
        return False
    return one.after is None or fits(one.after, package.files[one.path])


def fits(entry: Entry, record: str) -> bool:
    """Whether a path is what a record says; without a hash it says nothing about a file."""
    kind, _, digest = record.partition(":")
    if entry.kind not in ("file", "hardlink"):
        return not digest
    return digest == (entry.md5 if kind == "md5" else entry.sha256)


def edited(kind: str, owner: Owner, pool: Pool) -> list[Item]:
    """One item for each package with files that are not as its record says."""
    found: dict[str, list[Difference]] = {}
    for one in pool:
        if (one.before is None or one.before.kind != "folder") and (name := owner(one.path)):
            found.setdefault(name, []).append(one)
    items = []
    for name, differences in sorted(found.items()):
        pool.drop(differences)
        items.append(Item(
            kind=kind, change="edited", name=name, paths=tuple(one.path for one in differences),
            bytes=total_bytes(differences),
        ))  # fmt: skip
    return items
