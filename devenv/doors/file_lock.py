"""Locks between processes: one process holds a file. The kernel frees it when the process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devenv.doors import files
from devenv.doors.cancellation import Cancellation
from devenv.errors import NotReadyError

_LOOK_EVERY_S = 0.1


@contextmanager
def hold(
    path: Path, waiting: Callable[[], None], cancel: Cancellation | None = None, *, leave_nothing: bool = False
) -> Iterator[int]:
    """Hold a lock file between processes, and between threads; its descriptor. The kernel frees it when the holder and
    all programs that inherited the descriptor are dead; `waiting` is called when another one holds it. With
    `leave_nothing` a folder that holds nothing else in the end is removed. Raises NotReadyError, CancelledError."""
    announced = False
    cancel = cancel or Cancellation()
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Not truncated, because it may be a link; also for reading, because a pipe without a reader would block.
            handle = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not path.is_symlink():
                continue  # the folder went between these two steps, as below
            raise NotReadyError(
                f"cannot write {path}: {error.strerror}",
                hint=files.place_hint(error, "name another folder: XDG_STATE_HOME, XDG_CACHE_HOME or --weights-dir"),
            ) from None
        with handle:
            while not _take(handle.fileno()):
                if not announced:
                    waiting()
                announced = True
                cancel.wait(_LOOK_EVERY_S)
            # 'down --volumes' and 'prune' remove the folder with the lock: then wait for the new one.
            if _is_still(path, handle.fileno()):
                try:
                    yield handle.fileno()
                finally:
                    if leave_nothing and _is_still(path, handle.fileno()):
                        _remove(path)
                return


def _remove(path: Path) -> None:
    """Remove a lock that is held, and its folder, unless there is something else in it."""
    with contextlib.suppress(OSError):
        if [one.name for one in path.parent.iterdir()] == [path.name]:
            path.unlink()
            path.parent.rmdir()


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
