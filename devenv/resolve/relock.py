"""A preset locked again: from its earlier lock, if that can be read, to a new one on disk and the changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.errors import LockError
from devenv.lock.diff import Change, changes
from devenv.lock.files import beside, command, parent_lock, write
from devenv.lock.model import Lock, read
from devenv.resolve.ensure import fits

if TYPE_CHECKING:
    from devenv.preset.load import LoadedPreset
    from devenv.resolve.context import Context


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A preset, the place of its lock, and the lock that lies there; None when there is none, or none to be read."""

    loaded: LoadedPreset
    path: Path
    lock: Lock | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Relocked:
    """The new lock at `path`, and what changed since the earlier one."""

    lock: Lock
    path: Path
    earlier: Lock | None

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes, from the earlier lock or from nothing."""
        return changes(self.earlier, self.lock)


def earlier(loaded: LoadedPreset, config: Path, *, warn: Callable[[str], None]) -> Earlier:
    """The lock to start from. Warns of versions that are not in the compatibility matrix, and of an unreadable lock.
    `config`: devenv's configuration folder. Raises PresetError, and LockError for a folder in the lock's place."""
    for words in fits(loaded, config):
        warn(words)
    path = beside(loaded.path)
    try:
        found = read(path) if files.is_there(path) else None
    except LockError as error:
        if path.is_dir():
            raise
        warn(f"{error.message}; locking again ({error.where})")
        found = None
    return Earlier(loaded=loaded, path=path, lock=found)


def relock(before: Earlier, context: Context, *, upgrade: Sequence[str] = (), ask_hubs: bool = True) -> Relocked:
    """Resolve the preset and write its lock; entries that still fit are kept, but those named in `upgrade`. Raises
    LockError, FetchError."""
    from devenv.doors.http.hubs import UnreachedError
    from devenv.resolve.resolver import resolve

    loaded = before.loaded
    try:
        new = resolve(
            loaded, context, upgrade=upgrade, parent=parent_lock(loaded), previous=before.lock, ask_hubs=ask_hubs
        )
    except UnreachedError as error:
        error.hint = f"{error.hint}; or lock without the model for now: {command(loaded)} --without-model"
        raise
    write(new, before.path)
    return Relocked(lock=new, path=before.path, earlier=before.lock)
