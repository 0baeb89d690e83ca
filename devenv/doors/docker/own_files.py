"""The files of a container's own layer, read from its folder. The engine would send each byte through a socket, and on
a busy machine that takes longer than all else.

The container may be at work, and root in it may put anything in any place at any moment. So folders are entered one by
one and never through a link, and nothing but a regular file is opened: opening a device can do something.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from posixpath import dirname
from typing import IO, cast

from devenv.errors import EngineError

_CAPABILITY = "security.capability"
_METACOPY = "trusted.overlay.metacopy"
_WHITEOUT = os.makedev(0, 0)
_GONE = (FileNotFoundError, NotADirectoryError)


class OwnFiles:
    """The layer whose folder is `upper`."""

    def __init__(self, upper: str) -> None:
        self._upper = upper

    def members(self, paths: Iterable[str]) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
        """Those of the paths that the layer has with their content, as the members of a tar; a further name of a file
        is a hard link to the first. Each content must be read before the next member is asked for. Raises
        EngineError."""
        first: dict[tuple[int, int], str] = {}
        for folder, below in groupby(paths, dirname):
            try:
                with self._opened(folder) as place:
                    for path in below if place is not None else ():
                        yield from _member(cast("int", place), path, first)
            except OSError as error:
                raise EngineError(
                    f"cannot read {folder} in the container's layer: {error.strerror}", hint="run the command again"
                ) from None

    @contextlib.contextmanager
    def _opened(self, folder: str) -> Iterator[int | None]:
        """The folder's descriptor; None where the layer has no such folder."""
        place = os.open(self._upper, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in filter(None, folder.split("/")):
                try:
                    below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
                except _GONE:
                    yield None
                    return
                os.close(place)
                place = below
            yield place
        finally:
            os.close(place)


def _member(
    place: int, path: str, first: dict[tuple[int, int], str]
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    name = path.rpartition("/")[2]
    try:
        opened = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=place)
    except _GONE:
        return
    try:
        facts = os.fstat(opened)
        member = _described(path, facts)
        if member is None:
            return
        if member.issym():
            member.linkname = os.readlink("", dir_fd=opened)
        if not member.isreg():
            yield member, None
            return
        known = first.setdefault((facts.st_dev, facts.st_ino), path) if facts.st_nlink > 1 else path
        if known != path:
            member.type, member.linkname, member.size = tarfile.LNKTYPE, known, 0
            yield member, None
            return
        same = f"/proc/self/fd/{opened}"
        attributes = os.listxattr(same)
        if _METACOPY in attributes:
            return
        if _CAPABILITY in attributes:
            value = os.getxattr(same, _CAPABILITY).decode("utf-8", "surrogateescape")
            member.pax_headers = {f"SCHILY.xattr.{_CAPABILITY}": value}
        with open(same, "rb", buffering=0) as file:  # noqa: PTH123
            yield member, cast("IO[bytes]", _Content(file, facts.st_size))
    finally:
        os.close(opened)


_TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE, stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE, stat.S_IFREG: tarfile.REGTYPE,
}  # fmt: skip


def _described(path: str, facts: os.stat_result) -> tarfile.TarInfo | None:
    """None for a socket, which the engine does not send either, and for the file system's mark of a removed path."""
    kind = _TYPES.get(stat.S_IFMT(facts.st_mode))
    if kind is None or (kind == tarfile.CHRTYPE and facts.st_rdev == _WHITEOUT):
        return None
    member = tarfile.TarInfo(path.lstrip("/"))
    member.type = kind
    member.mode, member.uid, member.gid = stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid
    member.mtime = facts.st_mtime_ns // 10**9
    member.size = facts.st_size if member.isreg() else 0
    return member


class _Content:
    """No more of a file than it had at first: a program may write on."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data
