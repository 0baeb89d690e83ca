"""Debian packages, opened: their archives in pieces, with limits for what the package itself chooses.

Needs only the standard library, except for zstd, because folders of `render --online` contain this module.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, cast

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60
_CHUNK_BYTES = 1 << 18
_MOST_NAME_BYTES = 1 << 20
_DICTIONARY_BYTES = 128 << 20


def faults() -> tuple[type[Exception], ...]:
    """The exceptions from reading a damaged package, or an archive in it."""
    zstd = sys.modules.get("zstandard")  # imported only where packages need it
    return (OSError, EOFError, ValueError, lzma.LZMAError, tarfile.TarError, zlib.error,
            *((zstd.ZstdError,) if zstd else ()))  # fmt: skip


def member(package: BinaryIO, beginning: str) -> tuple[str, int]:
    """Name and size in bytes of the `ar` member whose name begins so (`data.tar`, see deb(5)). Its content is next in
    the file. Raises ValueError."""
    end = package.seek(0, os.SEEK_END)
    package.seek(0)
    if package.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise ValueError("not a .deb package")
    while header := package.read(_AR_HEADER_BYTES):
        if len(header) < _AR_HEADER_BYTES or header[58:60] != b"`\n" or not header[48:58].strip().isdigit():
            raise ValueError("the package is damaged")
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        size = int(header[48:58])
        if package.tell() + size > end:
            raise ValueError("the package is cut short")
        if name.startswith(beginning):
            return name, size
        package.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError(f"the package has no {beginning.partition('.')[0]} archive")


def expanded(package: BinaryIO, beginning: str) -> Iterator[bytes]:
    """The decompressed bytes of that member, in pieces. Raises one of `faults`."""
    name, size = member(package, beginning)
    return _expand(name, _Section(package, size))


class _Section(io.RawIOBase):
    """The next `left` bytes of a file, as a file."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file = file
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


class Member(tarfile.TarInfo):
    """A member with limits on its name, because tarfile reads long names and PAX headers whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Member:
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0 or (member.type in _LONG and member.size > _MOST_NAME_BYTES):
            raise tarfile.ReadError("a member's header is damaged")
        return member

    def _proc_gnusparse_10(self, *_: object) -> None:
        """Refuses sparse files: dpkg does not support them, and tarfile reads their maps without a limit."""
        raise tarfile.ReadError("it holds a sparse file")


_LONG = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


def _expand(name: str, packed: _Section) -> Iterator[bytes]:
    if name.endswith(".xz"):
        yield from _unxz(packed)
        return
    if name.endswith(".zst"):
        import zstandard

        # A larger window than zstd's own limit is refused.
        reader = zstandard.ZstdDecompressor().stream_reader(cast("IO[bytes]", packed), read_across_frames=True)
        opened = cast("IO[bytes]", reader)
    elif name.endswith(".gz"):
        opened = cast("IO[bytes]", gzip.GzipFile(fileobj=packed))
    elif name.endswith(".bz2"):
        opened = cast("IO[bytes]", bz2.BZ2File(packed))
    elif name.endswith(".tar"):
        opened = cast("IO[bytes]", packed)
    else:
        raise ValueError(f"unknown compression in {name!r}")
    while chunk := opened.read(_CHUNK_BYTES):
        yield chunk


def _unxz(packed: _Section) -> Iterator[bytes]:
    """Decompress as lzma.LZMAFile, with a limit for the dictionary, whose size the file itself chooses."""
    rest = packed.read(_CHUNK_BYTES) or b""
    while rest:
        decoder = lzma.LZMADecompressor(memlimit=_DICTIONARY_BYTES)
        while not decoder.eof:
            if decoder.needs_input and not rest and not (rest := packed.read(_CHUNK_BYTES) or b""):
                raise EOFError("the package is cut short")
            yield decoder.decompress(rest, _CHUNK_BYTES)
            rest = b""
        rest = decoder.unused_data.lstrip(b"\0") or packed.read(_CHUNK_BYTES) or b""
