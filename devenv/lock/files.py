"""The paths of locks, and writing one."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.errors import LockError
from devenv.lock import drift
from devenv.lock.model import Lock, read
from devenv.preset.load import LoadedPreset

if TYPE_CHECKING:
    from devenv.doors.dirs import Dirs

_USUAL = {"preset", "devenv"}


def beside(preset: Path) -> Path:
    """The lock's place beside a preset: `devenv.lock`, or NAME.lock for a preset file of another name."""
    return preset.with_name("devenv.lock" if preset.stem in _USUAL else f"{preset.stem}.lock")


def lock_path(loaded: LoadedPreset, dirs: Dirs) -> Path:
    """The lock to read: beside the preset; for a shipped one, a lock resolved on this machine comes first."""
    return next((path for path in (relocked_path(loaded, dirs),) if path.is_file()), beside(loaded.path))


def relocked_path(loaded: LoadedPreset, dirs: Dirs) -> Path:
    """The path for a new or completed lock: beside a user's preset; for a shipped one, this user's own folder.

    The name contains the shipped lock's hash, so that a newer devenv with another lock ignores an old one.
    """
    path = beside(loaded.path)
    if not loaded.shipped or not path.is_file():
        return path
    import hashlib

    return dirs.locks / f"{loaded.preset.name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.lock"


def read_fitting(loaded: LoadedPreset, dirs: Dirs) -> Lock:
    """The preset's existing lock. Raises LockError for one that is missing, unreadable or stale."""
    path = lock_path(loaded, dirs)
    lock = read(path)
    drift.require_fit(lock, loaded.preset, where=str(path), command=command(loaded))
    return lock


def parent_lock(loaded: LoadedPreset) -> Lock | None:
    """The lock of the nearest ancestor that has a readable one."""
    for ancestor in reversed(loaded.chain[:-1]):
        with contextlib.suppress(LockError):
            return read(beside(ancestor))
    return None


def command(loaded: LoadedPreset) -> str:
    """The command that locks this preset."""
    if loaded.project is not None:
        return "devenv lock"
    return f"devenv lock {loaded.preset.name if loaded.shipped else shlex.quote(str(loaded.path))}"


def _holds(path: Path, data: bytes) -> bool:
    try:
        return files.read(path, most_bytes=len(data)) == data
    except OSError:
        return False


def write(lock: Lock, path: Path) -> None:
    """Write the lock's text, whole or not at all; the same text is not written again. Raises LockError."""
    data = lock.dump().encode()
    try:
        if not _holds(path, data):
            files.write_below(path.parent, path.name, data)
    except OSError as error:
        raise LockError(
            f"cannot write the lock: {error.strerror}",
            where=str(path),
            hint=files.place_hint(error, "copy the preset to a folder of yours"),
        ) from None
