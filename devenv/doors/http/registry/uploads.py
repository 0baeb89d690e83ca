"""Unfinished uploads: the address where each continues, kept for the next run. One process at a time sends a blob."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from devenv.doors import atomic, files
from devenv.doors.cancellation import Cancellation
from devenv.doors.file_lock import hold
from devenv.doors.untrusted import from_json

_MOST_BYTES = 64 << 10


class Session:
    """The address of one blob's unfinished upload, as the registry named it last. Its file is 0600, because the
    address alone may give the right to write."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "session.json"
        self._location: str | None = None

    def location(self) -> str | None:
        """The address, where an earlier try or run left one."""
        if self._location is not None:
            return self._location
        try:
            document = from_json(files.read(self._path, most_bytes=_MOST_BYTES))
            location = str(document["location"])
            return location if urlsplit(location).scheme in ("http", "https") else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def keep(self, location: str) -> None:
        """Record the address. Without it the next run only begins again, so a full disk is no failure."""
        self._location = location
        with contextlib.suppress(OSError):
            atomic.write(self._path, json.dumps({"location": location}), mode=0o600)

    def forget(self) -> None:
        """Remove the record of a finished or lost upload."""
        self._location = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def session(folder: Path, target: str, waiting: Callable[[], None], cancel: Cancellation) -> Iterator[Session]:
    """The session of `target` (repository and digest), for one process. Raises NotReadyError, CancelledError."""
    own = folder / hashlib.sha256(target.encode()).hexdigest()
    with hold(own / "lock", waiting, cancel, leave_nothing=True):
        yield Session(own)
