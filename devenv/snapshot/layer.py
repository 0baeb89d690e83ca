"""Differences to one sorted layer, as the OCI image layer format has it: equal differences give equal bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import IO

from devenv.doors.thread import in_thread
from devenv.drift.entries import Entry, Spool, chain, order
from devenv.drift.observe import Difference

_GONE = ".wh."
_BLOCK_BYTES = 4 << 20
_TYPES = {
    "file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "fifo": tarfile.FIFOTYPE,
}  # fmt: skip


def writable(differences: Iterable[Difference], spool: Spool) -> tuple[list[Difference], list[str]]:
    """(what a layer can hold, what it cannot and why, in words). A further name of a file becomes a file of its own,
    with the content of `spool`."""
    by_path = {one.path: one for one in differences}
    held: list[Difference] = []
    left: list[str] = []
    for one in by_path.values():
        own = _own(one, by_path, spool)
        if why := _obstacle(own, spool):
            left.append(f"{one.path}, {why}")
        else:
            held.append(own)
    return held, left


def _own(one: Difference, by_path: Mapping[str, Difference], spool: Spool) -> Difference:
    """The same without a hard link: with what lies under the other name."""
    after = one.after
    if after is None or after.kind != "hardlink":
        return one
    other = by_path.get(after.target)
    if other and other.after and other.after.kind in ("symlink", "fifo", "char", "block"):
        return dataclasses.replace(one, after=dataclasses.replace(other.after, path=one.path))
    size = sum(map(len, spool.chunks(after.target))) if after.target in spool else 0
    return dataclasses.replace(one, after=dataclasses.replace(after, kind="file", size=size))


def _obstacle(one: Difference, spool: Spool) -> str:
    after = one.after
    if any(part.startswith(_GONE) for part in one.path.split("/")):
        return "whose name means a removed file in a layer"
    if after is not None and after.kind not in _TYPES:
        return "which could not be read" if after.kind == "unread" else "a device"
    if after is not None and after.kind == "file" and content_of(after) not in spool:
        return "a further name of a file that was not read"
    return ""


def content_of(entry: Entry) -> str:
    """The path whose content in the spool is that of a file."""
    return entry.target or entry.path


def fits(differences: Iterable[Difference], spool: Spool) -> bool:
    """Whether the layer can be written over the spool's own file: no byte of it before it has been read."""
    end = 0
    for _, entry in _members(differences):
        end += _most_header_bytes(entry)
        if entry.kind == "file":
            if spool.start(content_of(entry)) < end:
                return False
            end += entry.size
    return True


def write(differences: Iterable[Difference], spool: Spool, file: IO[bytes]) -> str:
    """Write the layer of `writable` differences; returns its sha256 (hex). `file` may be the spool's own where it
    `fits`. Raises OSError."""
    digest = hashlib.sha256()
    for block in _blocks(_pieces(differences, spool)):
        hashing = in_thread("sha256", partial(digest.update, block))
        file.write(block)
        hashing.result()
    return digest.hexdigest()


def _pieces(differences: Iterable[Difference], spool: Spool) -> Iterator[bytes]:
    """The layer's bytes."""
    for name, entry in _members(differences):
        yield _header(name, entry)
        if entry.kind == "file":
            yield from spool.chunks(content_of(entry))
            yield bytes(-entry.size % 512)
    yield bytes(1024)


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: most files are small."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _members(differences: Iterable[Difference]) -> Iterator[tuple[str, Entry]]:
    """Name in the tar and entry, sorted. What is gone with a folder is not named again: the folder's mark says it, or
    the file that took its place; and a mark below a link would remove what the link leads to."""
    gone: set[str] = set()
    for one in sorted(differences, key=lambda one: order(one.path)):
        if one.after is None:
            if not any(above in gone for above in chain(one.path)):
                folder, _, name = one.path.rpartition("/")
                yield f"{folder}/{_GONE}{name}".lstrip("/"), Entry(one.path, "whiteout", 0, 0, 0)
            gone.add(one.path)
            continue
        if one.after.kind != "folder":
            gone.add(one.path)
        yield one.path.lstrip("/"), one.after


def _most_header_bytes(entry: Entry) -> int:
    """More than a member takes beside its content: two headers, a record for each value, what fills up blocks."""
    return 2560 + 4 * (len(entry.path) + len(entry.target) + len(entry.capability))


def _header(name: str, entry: Entry) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = _TYPES.get(entry.kind, tarfile.REGTYPE)
    member.size = entry.size if entry.kind == "file" else 0
    member.linkname = entry.target if entry.kind == "symlink" else ""
    member.mode, member.uid, member.gid, member.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
    if entry.capability:
        member.pax_headers = {"SCHILY.xattr.security.capability": entry.capability}
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
