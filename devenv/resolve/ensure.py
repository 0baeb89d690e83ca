"""A preset's lock: read when it fits, made when a user's preset has none, refused when it is stale."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.errors import LockError
from devenv.lock import drift
from devenv.lock.files import command, lock_path, parent_lock, write
from devenv.lock.model import Lock, read
from devenv.preset.load import LoadedPreset

if TYPE_CHECKING:
    # Commands that only read a lock do not import store and network.
    from devenv.doors.settings.settings import Settings
    from devenv.resolve.context import Context


def fits(loaded: LoadedPreset, config: Path) -> tuple[str, ...]:
    """Refuse (PresetError) versions that cannot work together; returns, in words, versions that are not in the matrix.

    `config`: devenv's configuration folder, where the user's own compatibility matrix may be.
    """
    preset = loaded.preset
    named = {"torch", "vllm"} & {re.split(r"[^A-Za-z0-9]", requirement)[0].lower() for requirement in preset.pip}
    if not (preset.torch or preset.vllm or preset.cuda or named):
        return ()
    from devenv.compat.matrix import read as read_matrix
    from devenv.compat.verdict import refuse

    return refuse(loaded, read_matrix(config))


def locked(loaded: LoadedPreset, make_context: Callable[[], Context], settings: Settings) -> tuple[Lock, bool]:
    """The preset's lock, and whether it existed before. Its model may be open. `make_context` is called only when there
    is something to resolve: who only reads a lock does without the store and the network.

    A preset without a lock is locked now; one whose lock is stale is refused (LockError).
    """
    path = lock_path(loaded, settings.dirs)
    if not files.is_there(path):
        from devenv.resolve.resolver import resolve

        lock = resolve(loaded, make_context(), parent=parent_lock(loaded))
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
