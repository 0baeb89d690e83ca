"""The folder in which the blobs of others' images arrive."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors.file_lock import hold

if TYPE_CHECKING:
    from devenv.up.session import Session


@contextlib.contextmanager
def arriving(session: Session) -> Iterator[Path]:
    """The folder, to bring blobs to it, use and remove them within the `with`: two images may have the same layer, so
    another run waits. Raises NotReadyError, CancelledError."""
    folder = session.dirs.blobs
    waiting = session.waiting_for(f"brings images to {folder}")
    with hold(folder.with_name(f"{folder.name}.lock"), waiting, session.cancel):
        yield folder
