"""A tar as it comes from the engine, for `tarfile`: a file that goes forward only."""

from __future__ import annotations

import io
from typing import Any

from devenv.doors.docker.sdk import guarded

_FIRST_BYTES = 32 << 10
"""Many callers want the first member alone, and the engine has to read files for each byte more."""
_READ_BYTES = 1 << 20


class Forward:
    """A file made of the answer `raw` (of urllib3). Raises EngineError."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._held, self._at = b"", 0
        self._passed = 0  # the bytes before `_held`
        self._wanted = _FIRST_BYTES

    def tell(self) -> int:
        """The place, counted from the beginning."""
        return self._passed + self._at

    def seek(self, place: int) -> int:
        """Go forward to `place`, or to the end where that comes first."""
        while (far := place - self.tell()) > 0 and self.read(min(far, _READ_BYTES)):
            pass
        if far < 0:
            raise io.UnsupportedOperation("it goes forward only")
        return self.tell()

    @guarded
    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        given = self._held[self._at : self._at + size]
        self._at += len(given)
        while len(given) < size:
            self._passed += len(self._held)
            # Not through the SDK, which passes everything on in pieces of 32 KiB: that takes four times the processor.
            self._held, self._at = self._raw.read(self._wanted, decode_content=False), 0
            self._wanted = _READ_BYTES
            if not self._held:
                break
            self._at = min(size - len(given), len(self._held))
            given += self._held[: self._at]
        return given
