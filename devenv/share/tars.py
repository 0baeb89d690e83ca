"""Compressed tars that strangers made, read member by member: bounded, and every fault is one error."""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, Protocol, Self, cast

from devenv.errors import ShareError

WINDOW_BYTES = 1 << 27
"""The most memory that a stranger's zstd frame may ask for."""
_CHUNK_BYTES = 1 << 18
"""What fits a processor's cache: with more, reading a layer takes a third longer."""
_MOST_TEXT_BYTES = 1 << 18
_TEXTS = frozenset({
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
})  # fmt: skip


def decompressed(packed: BinaryIO) -> Iterator[bytes]:
    """A zstd frame's content."""
    import zstandard

    yield from zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).read_to_iter(packed)


def written(chunks: Iterable[bytes], target: Path) -> str:
    """Write a file; the sha256 (hex) of its bytes. Raises OSError."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def members(
    packed: Readable, what: str, *, hint: str, most_bytes: int | None = None
) -> Iterator[Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]]:
    """Each member and, of files, its content, to be read before the next one. Raises ShareError for what is no tar, and
    for one of more than `most_bytes`."""
    import zstandard

    try:
        with (
            zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(
                cast("IO[bytes]", packed), read_across_frames=True
            ) as plain,
            tarfile.open(
                fileobj=cast("IO[bytes]", _Limited(plain, most_bytes)), mode="r|", bufsize=_CHUNK_BYTES, tarinfo=_Member
            ) as archive,
        ):
            yield _members(archive)
    except (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError, RecursionError) as error:
        raise ShareError(f"{what} cannot be read: {error}", hint=hint) from None


def _members(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    for member in archive:
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
        yield member, archive.extractfile(member) if member.isreg() else None
    # tarfile also ends at a header that it cannot read, where an engine may go on.
    assert archive.fileobj is not None
    while rest := archive.fileobj.read(_CHUNK_BYTES):
        if rest.strip(b"\0"):
            raise tarfile.ReadError("it goes on after its end")


class _Member(tarfile.TarInfo):
    """A header. tarfile reads the texts that belong to one whole, so their size is bounded."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _TEXTS and found.size > _MOST_TEXT_BYTES:
            raise tarfile.ReadError(f"a header has a text of {found.size} bytes")
        return found


class Readable(Protocol):
    """A file, or what is read like one."""

    def read(self, size: int, /) -> bytes:
        """The next bytes; none at the end."""


class _Limited:
    """What is read from another, up to a number of bytes."""

    def __init__(self, plain: Readable, most_bytes: int | None) -> None:
        self._plain = plain
        self._left = most_bytes

    def read(self, size: int = -1, /) -> bytes:
        data = self._plain.read(size)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise tarfile.ReadError("it is larger than it may be")
        return data
