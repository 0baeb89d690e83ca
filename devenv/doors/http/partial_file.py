"""A file in download: its bytes on disk, their hashes, and the count reported to a listener, always in step."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from devenv.doors import files

_CHUNK_BYTES = 1 << 18


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file's known facts: `digests` as (algorithm, hex), and the size in bytes where it is known, else where there is
    one the limit. `by`: who states them, for messages."""

    name: str
    digests: tuple[tuple[str, str], ...] = ()
    size_bytes: int | None = None
    most_bytes: int | None = None
    by: str = "the lock"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A finished download."""

    sha256: str
    size_bytes: int
    url: str


class Stopped(Exception):  # noqa: N818 (not an error: someone asked)
    """The stop signal was seen."""


class Refused(Exception):  # noqa: N818
    """This source will not give the file, even after more tries. `other`: it has another file of that name."""

    def __init__(self, why: str, *, gone: bool = False, offline: bool = False, other: bool = False) -> None:
        super().__init__(why)
        self.gone = gone
        self.offline = offline
        self.other = other


class Denied(Refused):
    """401 or 403: the user's rights, not the network."""


class Again(Exception):  # noqa: N818
    """This source may give the file on another try, after at least `wait_s`. `silent`: it accepted the connection, and
    then no byte came."""

    def __init__(
        self, why: str, *, wait_s: float = 0, offline: bool = False, slow: bool = False, silent: bool = False
    ) -> None:
        super().__init__(why)
        self.wait_s = wait_s
        self.offline = offline
        self.slow = slow
        self.silent = silent


class Partial:
    """The growing file: bytes, hashes and the count reported to the listener, always in step."""

    def __init__(self, wanted: Wanted, path: Path, on_bytes: Callable[[int], None]) -> None:
        self.wanted = wanted
        self._path = path
        self._on_bytes = on_bytes
        self._told = 0
        self._size = path.stat().st_size if path.exists() else 0
        self._handle: BinaryIO | None = None
        self._hashes = self._fresh()

    def _fresh(self) -> dict[str, hashlib._Hash]:
        return {name: hashlib.new(name) for name in {"sha256", *(one for one, _ in self.wanted.digests)}}

    def size(self) -> int:
        return self._size

    def __enter__(self) -> None:
        """Open for appending, and hash the existing bytes."""
        self._handle = self._path.open("a+b")
        self._handle.seek(0)
        self._hashes, self._size = self._fresh(), 0
        while chunk := self._handle.read(_CHUNK_BYTES):
            self._count(chunk)
        self._tell()
        limits = (self.wanted.size_bytes, self.wanted.most_bytes)
        if any(limit is not None and self._size > limit for limit in limits):
            self.restart()

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def write(self, chunk: bytes) -> None:
        assert self._handle is not None
        self._handle.write(chunk)
        self._count(chunk)
        self._tell()

    def restart(self) -> None:
        """Remove the existing bytes."""
        if self._handle is None:
            self._path.unlink(missing_ok=True)
        else:
            self._handle.truncate(0)
        self._hashes, self._size = self._fresh(), 0
        self._tell()

    def copy(self, source: Path, stop: threading.Event) -> None:
        """Take the bytes of a local file instead."""
        self.restart()
        try:
            reader = files.opened(source)
        except OSError as error:
            raise Refused(error.strerror or str(error), gone=not source.exists()) from None
        with reader, self:
            while chunk := reader.read(_CHUNK_BYTES):
                if stop.is_set():
                    raise Stopped
                self.write(chunk)

    def finish(self, url: str, *, resumed: bool) -> Got:
        """Compare with the wanted file; wrong bytes are removed at once."""
        expected = self.wanted.size_bytes
        wrong = [
            f"{name} {self._hashes[name].hexdigest()}, {self.wanted.by} has {value}"
            for name, value in self.wanted.digests
            if self._hashes[name].hexdigest() != value
        ]
        if expected is not None and self._size != expected:
            wrong.append(f"{self._size} bytes, {self.wanted.by} has {expected}")
        if wrong:
            self.restart()
            if resumed:
                raise Again("the resumed download has wrong content")
            raise Refused("has another file of that name: " + "; ".join(wrong), other=True)
        return Got(sha256=self._hashes["sha256"].hexdigest(), size_bytes=self._size, url=url)

    def _count(self, chunk: bytes) -> None:
        self._size += len(chunk)
        for digest in self._hashes.values():
            digest.update(chunk)

    def _tell(self) -> None:
        if self._size != self._told:
            self._on_bytes(self._size - self._told)
            self._told = self._size
