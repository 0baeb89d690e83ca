"""Where locks lie, and the lock of a preset: read when it fits, made when a preset of the user's has none."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.errors import LockError
from devenv.lock import drift
from devenv.lock.model import Lock, read
from devenv.preset.load import LoadedPreset

if TYPE_CHECKING:
    # What locking needs (the store, the network) is not imported by those who only read a lock.
    from devenv.doors.dirs import Dirs
    from devenv.doors.settings.settings import Settings
    from devenv.doors.terminal.progress import Progress
    from devenv.fetch.store import Store
    from devenv.resolve.base_image import ImageFacts

_USUAL = {"preset", "devenv"}


def beside(preset: Path) -> Path:
    """The lock's place beside a preset: `devenv.lock`, or NAME.lock for a preset file of another name."""
    return preset.with_name("devenv.lock" if preset.stem in _USUAL else f"{preset.stem}.lock")


def lock_path(loaded: LoadedPreset, dirs: Dirs) -> Path:
    """The lock to read: beside the preset; for a shipped one, what this machine resolved anew comes first."""
    return next((path for path in (relocked_path(loaded, dirs),) if path.is_file()), beside(loaded.path))


def relocked_path(loaded: LoadedPreset, dirs: Dirs) -> Path:
    """Where a lock resolved anew or completed goes: beside a user's preset; for a shipped one, this user's own folder.

    That name holds the shipped lock's hash: a newer devenv with another lock does not meet an old one here.
    """
    path = beside(loaded.path)
    if not loaded.shipped or not path.is_file():
        return path
    import hashlib

    return dirs.locks / f"{loaded.preset.name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.lock"


def parent_lock(loaded: LoadedPreset) -> Lock | None:
    """The lock of the nearest ancestor that has a readable one."""
    for ancestor in reversed(loaded.chain[:-1]):
        with contextlib.suppress(LockError):
            return read(beside(ancestor))
    return None


def fits(loaded: LoadedPreset, config: Path) -> tuple[str, ...]:
    """Refuse (PresetError) versions that cannot work together; returns, in words, what the matrix does not know.

    `config`: devenv's configuration folder, where the user's own compatibility matrix may be.
    """
    preset = loaded.preset
    named = {"torch", "vllm"} & {re.split(r"[^A-Za-z0-9]", one)[0].lower() for one in preset.pip}
    if not (preset.torch or preset.vllm or preset.cuda or named):
        return ()
    from devenv.compat.matrix import read as read_matrix
    from devenv.compat.verdict import refuse

    return refuse(loaded, read_matrix(config))


def command(loaded: LoadedPreset) -> str:
    """What to type to lock this preset."""
    if loaded.project is not None:
        return "devenv lock"
    return f"devenv lock {loaded.preset.name if loaded.shipped else shlex.quote(str(loaded.path))}"


def write(lock: Lock, path: Path) -> None:
    """Put the lock's text there, whole or not at all. Raises LockError."""
    try:
        files.write_below(path.parent, path.name, lock.dump().encode())
    except OSError as error:
        raise LockError(
            f"cannot write the lock: {error.strerror}", where=str(path), hint="copy the preset to a folder of yours"
        ) from None


def locked(
    loaded: LoadedPreset,
    *,
    dirs: Dirs,
    settings: Settings,
    store: Store,
    progress: Progress,
    image_facts: Callable[[str], ImageFacts] | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> tuple[Lock, bool]:
    """The preset's lock, and whether it was there already. Its model may be open; `note` hears of one recorded now.

    A preset without a lock is locked now; one whose lock is stale is refused (LockError).
    """
    path = lock_path(loaded, dirs)
    if not files.is_there(path):
        from devenv.resolve.resolver import resolve

        lock = resolve(
            loaded, settings=settings, store=store, progress=progress, parent=parent_lock(loaded),
            image_facts=image_facts, note=note,
        )  # fmt: skip
        write(lock, path)
        return lock, False
    lock = read(path)
    if lock.platform != f"linux/{settings.arch}":
        raise LockError(
            f"the lock is for {lock.platform}, this machine is linux/{settings.arch}", where=str(path),
            hint=f"lock it for this machine: {command(loaded)}",
        )  # fmt: skip
    drift.require_fit(lock, loaded.preset, where=str(path), command=command(loaded))
    return lock, True
