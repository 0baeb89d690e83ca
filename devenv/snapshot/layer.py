"""Differences to one sorted layer, as the OCI image layer format has it: equal differences give equal bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

from devenv.drift.entries import Entry, Spool, chain
from devenv.drift.observe import Difference

_GONE = ".wh."
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


def write(differences: Iterable[Difference], spool: Spool, file: IO[bytes]) -> str:
    """Write the layer of `writable` differences; returns its sha256 (hex). Raises OSError."""
    digest = hashlib.sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    for name, entry in _members(differences):
        put(_header(name, entry))
        if entry.kind == "file":
            for chunk in spool.chunks(content_of(entry)):
                put(chunk)
            put(bytes(-entry.size % 512))
    put(bytes(1024))
    return digest.hexdigest()


def _members(differences: Iterable[Difference]) -> Iterator[tuple[str, Entry]]:
    """Name in the tar and entry, sorted. What is gone with a folder is not named again: the folder's mark says it, or
    the file that took its place; and a mark below a link would remove what the link leads to."""
    gone: set[str] = set()
    for one in sorted(differences, key=lambda one: one.path):
        if one.after is None:
            if not any(above in gone for above in chain(one.path)):
                folder, _, name = one.path.rpartition("/")
                yield f"{folder}/{_GONE}{name}".lstrip("/"), Entry(one.path, "whiteout", 0, 0, 0)
            gone.add(one.path)
            continue
        if one.after.kind != "folder":
            gone.add(one.path)
        yield one.path.lstrip("/"), one.after


def _header(name: str, entry: Entry) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = _TYPES.get(entry.kind, tarfile.REGTYPE)
    member.size = entry.size if entry.kind == "file" else 0
    member.linkname = entry.target if entry.kind == "symlink" else ""
    member.mode, member.uid, member.gid, member.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
    if entry.capability:
        member.pax_headers = {"SCHILY.xattr.security.capability": entry.capability}
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
