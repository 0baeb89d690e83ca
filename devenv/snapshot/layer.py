"""Differences to one sorted layer, as the OCI image layer format has it: equal differences give equal bytes."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable
from typing import IO

from devenv.drift.entries import Entry, Spool
from devenv.drift.observe import Difference

_TYPES = {
    "file": tarfile.REGTYPE, "hardlink": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE,
    "fifo": tarfile.FIFOTYPE,
}  # fmt: skip


def write(differences: Iterable[Difference], spool: Spool, file: IO[bytes]) -> str:
    """Write the layer; returns its sha256 (hex). Devices are left out, and files with several names become several
    files. Raises OSError."""
    digest = hashlib.sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    for name, entry in sorted(_members(differences, spool)):
        put(_header(name, entry))
        if entry.kind == "file":
            for chunk in spool.chunks(entry.path):
                put(chunk)
            put(bytes(-entry.size % 512))
    put(bytes(1024))
    return digest.hexdigest()


def _members(differences: Iterable[Difference], spool: Spool) -> Iterable[tuple[str, Entry]]:
    gone: set[str] = set()
    for one in sorted(differences, key=lambda one: one.path):
        if one.after is None:
            above = one.path.rpartition("/")[0]
            if above in gone:  # with the folder
                gone.add(one.path)
                continue
            gone.add(one.path)
            folder, _, name = one.path.rpartition("/")
            yield f"{folder}/.wh.{name}".lstrip("/"), Entry(path="", kind="whiteout", mode=0, uid=0, gid=0)
        elif one.after.kind in _TYPES:
            entry = _as_file(one.after, spool) if one.after.kind == "hardlink" else one.after
            yield one.path.lstrip("/"), entry


def _as_file(entry: Entry, spool: Spool) -> Entry:
    """A further name of a file as a file of its own."""
    size = sum(len(chunk) for chunk in spool.chunks(entry.target)) if entry.target in spool else 0
    return Entry(
        path=entry.target, kind="file" if entry.target in spool else "fifo", mode=entry.mode, uid=entry.uid,
        gid=entry.gid, size=size, mtime=entry.mtime,
    )  # fmt: skip


def _header(name: str, entry: Entry) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = _TYPES.get(entry.kind, tarfile.REGTYPE)
    member.size = entry.size if entry.kind == "file" else 0
    member.linkname = entry.target if entry.kind == "symlink" else ""
    member.mode, member.uid, member.gid, member.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
    if entry.capability:
        member.pax_headers = {"SCHILY.xattr.security.capability": entry.capability}
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
