"""Packages that an index has, put into a snapshot's preset and lock instead of its layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from devenv.doors import files
from devenv.doors.untrusted import from_yaml
from devenv.drift.items import Item
from devenv.drift.patch import LOCKABLE, Patch, patch
from devenv.errors import FetchError, LockError, PresetError
from devenv.lock.diff import changes
from devenv.lock.files import beside
from devenv.lock.model import Artifact, Lock, read
from devenv.preset.load import load
from devenv.preset.yaml.text import MAX_BYTES
from devenv.resolve.relock import earlier, relock
from devenv.up.session import Session


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """Packages that went into preset and lock; `lock` has them."""

    patch: Patch
    before: Lock
    lock: Lock

    @property
    def has_apt(self) -> bool:
        """Whether Debian packages are among them; then all of them are."""
        return _debs(self.lock) != _debs(self.before)

    def says(self, item: Item) -> bool:
        """Whether preset and lock bring what the item names."""
        if item.kind == "apt":
            return self.has_apt
        if item.kind == "npm":
            wanted = {*self.patch.add.get("npm", ()), *self.patch.replace.get("npm", {}).values()}
            return f"{item.name}@{item.now}" in wanted or item.name in self.patch.remove.get("npm", ())
        if item.kind != "python" or item.origin or item.note or item.change in ("edited", "editable"):
            return False
        return _wheels(self.lock).get(item.name, "") == item.now

    def other(self, items: Iterable[Item]) -> str:
        """The first package that the container has, and that neither the new lock nor a layer over it would bring in
        that version; empty when there is none."""
        old, new = _wheels(self.before), _wheels(self.lock)
        have = _with(old, (one for one in items if one.kind == "python" and not one.note))
        for name, version in new.items():
            if version not in (have.get(name), old.get(name)):
                return f"{name} {version}"
        if lost := next((name for name in old if name not in new and name in have), None):
            return lost
        debs = _with(_debs(self.before), (one for one in items if one.kind == "apt"))
        if self.has_apt and (odd := {*debs.items()} ^ {*_debs(self.lock).items()}):
            return " ".join(min(odd))
        return ""


def _wheels(lock: Lock) -> dict[str, str]:
    return {canonicalize_name(one.name): one.version for one in lock.installed}


def _debs(lock: Lock) -> dict[str, str]:
    every: tuple[Artifact, ...] = (*lock.base.packages, *lock.apt)
    return {one.name: one.version for one in every}


def _with(versions: Mapping[str, str], items: Iterable[Item]) -> dict[str, str]:
    """Versions by name, with what the items say."""
    have = dict(versions)
    for one in items:
        if one.change == "removed":
            have.pop(one.name, None)
        elif one.now:
            have[one.name] = one.now
    return have


def lock_packages(folder: Path, items: Sequence[Item], preset: Mapping[str, Any], session: Session) -> Locked | None:
    """Put the packages that were asked for into the preset in `folder` and its lock; None where nothing is to be
    locked, or, with a note, where it cannot be done."""
    before = files.read_text(folder / "preset.yaml", most_bytes=MAX_BYTES, inside=folder)
    found = patch([one for one in items if one.kind in LOCKABLE], preset, from_yaml(before))
    # Debian packages go in all or none: dpkg's lists of all of them are one file.
    tries = [_without_apt(found)] if _has_more(items, found) else [found, _without_apt(found)]
    for wanted in tries if tries[0] != tries[-1] else tries[:1]:
        if wanted.is_empty:
            continue
        locked = _tried(folder, wanted, before, items, session)
        if isinstance(locked, Locked):
            return locked
        kind = "Debian packages" if wanted != tries[-1] else "packages"
        session.stages.note(f"{kind} are kept as files, because {locked}")
    return None


def _tried(folder: Path, wanted: Patch, before: str, items: Sequence[Item], session: Session) -> Locked | str:
    """The preset and lock with the patch; or the reason why not, and both are as they were."""
    path = folder / "preset.yaml"
    old, old_bytes = read(beside(path)), beside(path).read_bytes()
    try:
        _change(path, before, wanted)
        with session.stages.stage("lock") as stage:
            start = earlier(load(path), session.dirs.config, warn=session.stages.note)
            locked = Locked(patch=wanted, before=old, lock=relock(start, session.resolving(stage)).lock)
            stage.message(f"{len(changes(old, locked.lock))} packages changed")
        if not (other := locked.other(items)):
            return locked
        why = f"the index would now give others than the environment has: {other}"
    except (LockError, FetchError, PresetError) as error:
        why = f"they cannot be locked now: {error.message}"
    _write(path, before, old_bytes)
    for one in (_carried(path), beside(_carried(path))):
        one.unlink(missing_ok=True)
    return why


def _change(path: Path, text: str, wanted: Patch) -> None:
    """Change the preset. Where entries are only added, it is extended, so that they get an image layer of their own and
    the layers of the environment's image stay."""
    if wanted.replace or wanted.remove:
        _write(path, wanted.apply(text), beside(path).read_bytes())
        return
    _write(_carried(path), text, beside(path).read_bytes())
    beside(path).unlink()
    extended = f"extends: ./{_carried(path).name}\n{_name(text)}"
    files.write_below(path.parent, path.name, wanted.apply(extended).encode())


def _carried(path: Path) -> Path:
    """The environment's own preset, which the snapshot's extends."""
    return path.with_name("carried.yaml")


def _name(text: str) -> str:
    """The line of a preset with its name; one without a name has its folder's."""
    name = from_yaml(text).get("name")
    return f"name: {name}\n" if name else ""


def _write(path: Path, text: str, lock: bytes) -> None:
    files.write_below(path.parent, path.name, text.encode())
    files.write_below(path.parent, beside(path).name, lock)


def _without_apt(found: Patch) -> Patch:
    def rest(lists: Mapping[str, Any]) -> dict[str, Any]:
        return {key: entries for key, entries in lists.items() if key != "apt"}

    return dataclasses.replace(
        found, add=rest(found.add), replace=rest(found.replace), remove=rest(found.remove)
    )  # fmt: skip


def _has_more(items: Sequence[Item], found: Patch) -> bool:
    """Whether Debian packages changed that no preset can name."""
    named = {*found.add.get("apt", ())}
    return any(one.kind == "apt" and one.asked_for and one.name not in named for one in items)
