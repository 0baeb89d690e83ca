"""The hash of a file during its download, in the file's order, even when its bytes arrive in another order."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable

from devenv.doors.http.pieces import Part

_BUFFER_BYTES = 1 << 20


class Digest:
    """sha256 of a part from its beginning on. Bytes that are next come directly from the worker that wrote them;
    all others are read back by `follow`. `grew` gets the number of hashed bytes; what it raises goes to the caller."""

    def __init__(self, part: Part, grew: Callable[[int], object] = lambda _: None) -> None:
        self._part = part
        self._grew = grew
        self._size = part.size
        self._guard = threading.Lock()
        self._changed = threading.Condition()
        self._buffer = memoryview(b"")
        self._sha256 = hashlib.sha256()
        self._at = 0

    def restart(self) -> None:
        """Begin again, when the hashed bytes were removed."""
        with self._guard:
            self._sha256 = hashlib.sha256()
            self._at = 0
            self._grew(0)

    def take(self, offset: int, chunk: bytes) -> None:
        """Hash these bytes, which are in the part now."""
        if self._guard.acquire(blocking=False):
            try:
                if offset == self._at:
                    self._sha256.update(chunk)
                    self._at += len(chunk)
                    self._grew(self._at)
                    if self._at < self._size:
                        return
            finally:
                self._guard.release()
        self.wake()

    def wake(self) -> None:
        """Wake `follow`, which may have work."""
        with self._changed:
            self._changed.notify_all()

    def follow(self, ended: Callable[[], bool]) -> str | None:
        """Hash the existing bytes and wait for the rest; the hash of the whole, or None when `ended` is true."""
        while self._at < self._size:
            if ended():
                return None
            if self._catch_up():
                continue
            with self._changed:
                if self._part.contiguous() <= self._at < self._size:
                    self._changed.wait(0.2)
        with self._guard:
            return self._sha256.hexdigest()

    def _catch_up(self) -> bool:
        """Read some bytes that are not hashed yet; returns whether there were any."""
        with self._guard:
            end = self._part.contiguous()
            if end <= self._at:
                return False
            if not self._buffer:
                self._buffer = memoryview(bytearray(min(_BUFFER_BYTES, self._size)))
            count = self._part.read(self._at, self._buffer[: end - self._at])
            if count <= 0:
                raise OSError(errno.EIO, "the unfinished file became shorter", str(self._part.path))
            self._sha256.update(self._buffer[:count])
            self._at += count
            self._grew(self._at)
            return True
