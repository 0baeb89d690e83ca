"""Archives and compressed files, read as a stream: their members' bytes, bounded in number, size and depth."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Protocol, cast

import zstandard

from devenv.secrets.zip_stream import Reader, ZipError, zip_members

DEPTH = 3
MOST_BYTES = 2 << 30
"""Bytes of all members of one file, once they are unpacked."""
MOST_MEMBERS = 200_000
_CHUNK = 1 << 20
_HEAD = 1024
_READ = 1 << 16
_MOST_MEMORY_BYTES = 256 << 20
_MOST_HEADER_BYTES = 1 << 20
_LONG_HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
_CLOSED = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!": "a RAR archive", b"MSCF": "a cabinet", b"hsqs": "a squashfs image",
    b"\x04\x22\x4d\x18": "compressed by lz4", b"ITSF": "a CHM file", b"age-encryption.org": "encrypted by age",
    b"gocryptfs": "encrypted by gocryptfs", b"Salted__": "encrypted by OpenSSL", b"LUKS\xba\xbe": "an encrypted disk",
}  # fmt: skip
_CUT = "a damaged or cut archive: its end is not looked into"
_DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, tarfile.TarError, zstandard.ZstdError, ZipError, ValueError)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A file, or a member of an archive. Read it to its end before the next one."""

    member: str
    """Empty for the file itself; members of members are joined by `!`."""
    chunks: Iterator[bytes]


@dataclasses.dataclass(slots=True)
class Unpacking:
    """One file's parts. `unread` is told what is not looked into: (member, reason)."""

    unread: Callable[[str, str], None]
    left_bytes: int = MOST_BYTES
    left_members: int = MOST_MEMBERS

    def parts(self, chunks: Iterable[bytes], member: str = "", depth: int = 0) -> Iterator[Part]:
        """The file itself where it is no archive, else its members. Damaged archives end early, and are named."""
        reader = Reader(chunks)
        head = reader.peek(_HEAD)
        inside = _opener(head)
        if closed := next((name for magic, name in _CLOSED.items() if head.startswith(magic)), None):
            self.unread(member, closed)
        if inside is None:
            yield Part(member, reader.rest())
            return
        if depth >= DEPTH:
            self.unread(member, f"an archive {DEPTH} deep in another one")
            return
        try:
            for name, content in inside(reader):
                self.left_members -= 1
                if content is None or self.left_members < 0 or self.left_bytes < 0:
                    self.unread(_joined(member, name), "encrypted or packed in an unusual way" if content is None
                                else "the archive is too large when unpacked")  # fmt: skip
                    if content is None:
                        continue
                    return
                yield from self.parts(self._counted(content, member), _joined(member, name), depth + 1)
        except _DAMAGED:
            self.unread(member, _CUT)

    def _counted(self, content: Iterator[bytes], member: str) -> Iterator[bytes]:
        try:
            for chunk in content:
                self.left_bytes -= len(chunk)
                yield chunk
                if self.left_bytes < 0:
                    return
        except _DAMAGED:
            self.unread(member, _CUT)


def _joined(member: str, name: str) -> str:
    return f"{member}!{name}" if member and name else member or name


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


Members = Iterator[tuple[str, Iterator[bytes] | None]]


def _opener(head: bytes) -> Callable[[Reader], Members] | None:
    """How to read what begins like this; None for a plain file."""
    if head.startswith(b"PK\x03\x04"):
        return zip_members
    if head[257:262] == b"ustar":
        return _tar
    for magic, opened in _STREAMS.items():
        if head.startswith(magic):
            return lambda reader: iter([("", opened(reader))])
    return None


class _Entry(tarfile.TarInfo):
    """An entry whose long name and attributes, which are read as one piece, have a limit."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in _LONG_HEADERS and self.size > _MOST_HEADER_BYTES:
            raise tarfile.ReadError("a header is too large")
        return super()._proc_member(archive)  # type: ignore[misc]


def _tar(reader: Reader) -> Members:
    with tarfile.open(fileobj=cast("BinaryIO", reader), mode="r|", tarinfo=_Entry) as archive:
        for entry in archive:
            archive.members = []  # type: ignore[attr-defined] # else it keeps every entry
            if entry.isreg():
                content = archive.extractfile(entry)
                assert content is not None
                yield entry.name, _pieces(content)


def _pieces(file: _Readable) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _zstd(reader: Reader) -> BinaryIO:
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    return cast("BinaryIO", decompressor.stream_reader(cast("BinaryIO", reader), read_across_frames=True))


def _xz(reader: Reader) -> Iterator[bytes]:
    machine = lzma.LZMADecompressor(memlimit=_MOST_MEMORY_BYTES)
    while True:
        packed = b""
        if machine.eof:
            packed = machine.unused_data or reader.read(_READ)
            if not packed.strip(b"\0"):
                return
            machine = lzma.LZMADecompressor(memlimit=_MOST_MEMORY_BYTES)
        elif machine.needs_input and not (packed := reader.read(_READ)):
            raise EOFError
        if chunk := machine.decompress(packed, _CHUNK):
            yield chunk


_STREAMS: dict[bytes, Callable[[Reader], Iterator[bytes]]] = {
    b"\x1f\x8b\x08": lambda reader: _pieces(gzip.GzipFile(fileobj=cast("BinaryIO", reader), mode="rb")),
    b"BZh": lambda reader: _pieces(bz2.BZ2File(cast("BinaryIO", reader))),
    b"\xfd7zXZ\x00": _xz,
    b"\x28\xb5\x2f\xfd": lambda reader: _pieces(_zstd(reader)),
}
