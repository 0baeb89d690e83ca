"""Zip archives read from front to back, by their local headers (PKWARE's APPNOTE, 4.3), without their directory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

_CHUNK = 1 << 20
_LOCAL, _DESCRIPTOR = b"PK\x03\x04", b"PK\x07\x08"
_ENDS = (b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"")
_STORED, _DEFLATED = 0, 8
_BIG = 0xFFFFFFFF


class ZipError(Exception):
    """A zip archive that cannot be read in this way."""


class Reader:
    """Chunks of bytes as a file that is read once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._kept = b""

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, fewer at the end only; at least one chunk's where `size` is negative."""
        if size < 0:
            kept, self._kept = self._kept or next(self._chunks, b""), b""
            return kept
        parts, missing = [self._kept], size - len(self._kept)
        while missing > 0 and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            missing -= len(chunk)
        whole = b"".join(parts)
        self._kept = whole[size:]
        return whole[:size]

    def peek(self, size: int) -> bytes:
        """The next bytes, which stay."""
        head = self.read(size)
        self.give_back(head)
        return head

    def give_back(self, data: bytes) -> None:
        """Put bytes before all others."""
        self._kept = data + self._kept

    def rest(self) -> Iterator[bytes]:
        """All that is left."""
        if self._kept:
            kept, self._kept = self._kept, b""
            yield kept
        yield from self._chunks

    def exactly(self, size: int) -> bytes:
        """So many bytes. Raises EOFError."""
        data = self.read(size)
        if len(data) < size:
            raise EOFError
        return data


def zip_members(reader: Reader) -> Iterator[tuple[str, Iterator[bytes] | None]]:
    """(name, content) of each file; None for what is encrypted or packed in an unusual way.

    Raises EOFError, ZipError, zlib.error.
    """
    while (signature := reader.read(4)) == _LOCAL:
        _, flags, method, _, _, _, packed, size, name_size, extra_size = struct.unpack("<5H3I2H", reader.exactly(26))
        name = reader.exactly(name_size).decode("utf-8" if flags & 0x800 else "cp437", "replace")
        packed = _real_size(reader.exactly(extra_size), packed, size)
        encrypted, sizes_follow = bool(flags & 1), bool(flags & 8)
        if method == _DEFLATED and not encrypted:
            content = _inflated(reader)
        elif sizes_follow:
            raise ZipError  # where it ends is not known
        elif method == _STORED and not encrypted:
            content = _taken(reader, packed)
        else:
            for _ in _taken(reader, packed):
                pass
            yield name, None
            continue
        if not name.endswith("/"):
            yield name, content
        for _ in content:
            pass
        if sizes_follow:
            _skip_descriptor(reader)
    if signature not in _ENDS:
        raise ZipError


def _real_size(extra: bytes, packed: int, size: int) -> int:
    """The packed size, from the ZIP64 field where the header has no room for it."""
    if packed != _BIG:
        return packed
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            skip = at + 4 + (8 if size == _BIG else 0)
            return int.from_bytes(extra[skip : skip + 8], "little")
        at += 4 + length
    raise ZipError


def _taken(reader: Reader, size: int) -> Iterator[bytes]:
    while size:
        chunk = reader.exactly(min(size, _CHUNK))
        size -= len(chunk)
        yield chunk


def _inflated(reader: Reader) -> Iterator[bytes]:
    inflater, waiting = zlib.decompressobj(-15), b""
    while not inflater.eof:
        waiting = waiting or reader.read(1 << 16)
        if not waiting:
            raise EOFError
        chunk = inflater.decompress(waiting, _CHUNK)
        waiting = inflater.unconsumed_tail
        if chunk:
            yield chunk
    reader.give_back(inflater.unused_data)


def _skip_descriptor(reader: Reader) -> None:
    reader.exactly(16 if reader.peek(4) == _DESCRIPTOR else 12)
    if reader.peek(2) not in (b"PK", b""):
        reader.exactly(8)  # sizes of 8 bytes each
