"""The files of a container or an image as values, read out of the tars that the engine sends."""

from __future__ import annotations

import dataclasses
import hashlib
import posixpath
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO

from devenv.doors.docker.engine import Engine
from devenv.doors.docker.own_files import OwnFiles

_CHUNK_BYTES = 1 << 20
_MOST_KEPT_BYTES, _MOST_IN_ALL_BYTES = 16 << 20, 256 << 20
"""Of one file and of all together: an empty file of any size costs a container nothing."""
_MOST_FILES, _MOST_CALLS = 15, 1000
"""Above this many requests for files of one folder, or for anything below it, the whole folder is asked for: a request
costs about 10 ms, as much as 5 MB of content."""
_ODD = re.compile("[\udc80-\udcff\ufffd]")
_KINDS = {
    tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink", tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One path. `kind`: file, folder, symlink, hardlink (to `target`, with that file's content), fifo, char, block;
    unread where the engine cannot be asked for it."""

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int = 0
    target: str = ""
    sha256: str = ""
    md5: str = dataclasses.field(default="", compare=False)
    """Of files outside /home, for the records of dpkg; of Python's bytecode without the header that tells of its
    source."""
    mtime: int = dataclasses.field(default=0, compare=False)
    capability: str = ""  # the extended attribute security.capability


def same(one: Entry | None, other: Entry | None) -> bool:
    """Whether two entries are the same; a further name of a file is a file with that content."""
    return _as_file(one) == _as_file(other)


def _as_file(entry: Entry | None) -> Entry | None:
    return dataclasses.replace(entry, kind="file", target="") if entry and entry.kind == "hardlink" else entry


_BYTECODE, _HEADER_BYTES = ".pyc", 16
_OF_DPKG = ("/usr/", "/etc/", "/var/", "/bin/", "/sbin/", "/lib")


_ROOM_BYTES = 3072


def order(path: str) -> list[str]:
    """The key of the order in which the engine walks: a folder, then all in it."""
    return path.split("/")


class Spool:
    """The content of files, one behind the other in a temporary file, as they were when they were read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = 0
        self._places: dict[str, tuple[int, int]] = {}

    def leave_room(self, paths: int) -> None:
        """Begin with a gap that the headers of so many members of a tar fit into: then the file can become that tar in
        place."""
        self._end = paths * _ROOM_BYTES

    def put(self, path: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Keep a file's content, and pass it on."""
        start = self._end
        if self._file.tell() != start:
            self._file.seek(start)  # never without need: each one empties the buffer
        for chunk in chunks:
            self._file.write(chunk)
            self._end += len(chunk)
            yield chunk
        self._places[path] = (start, self._end - start)

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of one file."""
        start, left = self._places[path]
        while left:
            self._file.seek(start)
            chunk = self._file.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise OSError(f"{path} is cut off in the temporary file")
            start, left = start + len(chunk), left - len(chunk)
            yield chunk

    def start(self, path: str) -> int:
        """Where in the file the content of one file begins."""
        return self._places[path][0]

    def __contains__(self, path: str) -> bool:
        return path in self._places


def cover(shallow: Iterable[str], deep: Iterable[str], barred: Iterable[str]) -> dict[str, bool]:
    """The requests that read all these paths: a path to whether all below it is wanted too. `deep` paths are wanted
    with all below them, unless one of `barred` lies there. Many requests below one folder become one for the folder."""
    closed = {above for one in barred for above in chain(one)}
    asked, odd = _by_name((*shallow, *deep))
    tops = {one for one in deep if one not in closed and is_plain(one)}
    tops |= {folder for one in odd if (folder := _plain_above(one)) not in closed and _depth(folder) > 1}
    wanted: dict[str, bool] = {}
    for path in {*asked, *tops}:
        top = next((above for above in chain(path) if above in tops), None)
        wanted[top or path] = top is not None
    by_folder: dict[str, set[str]] = {}
    for path in wanted:
        by_folder.setdefault(posixpath.dirname(path), set()).add(path)
    # The deepest folders first, so that the cost of what is below a folder is known when its turn comes.
    for folder in sorted(
        {above for path in wanted for above in chain(posixpath.dirname(path))}, key=_depth, reverse=True
    ):
        calls = by_folder.pop(folder, set())
        files = sum(not wanted[one] and posixpath.dirname(one) == folder for one in calls)
        if (files > _MOST_FILES or len(calls) > _MOST_CALLS) and _depth(folder) > 1 and folder not in closed:
            for one in calls:
                wanted.pop(one)
            wanted[folder] = True
            calls = {folder}
        by_folder.setdefault(posixpath.dirname(folder), set()).update(calls)
    return wanted


def _by_name(paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """(the paths that the engine can be asked for, the others)."""
    found: tuple[list[str], list[str]] = ([], [])
    for path in paths:
        found[not is_plain(path)].append(path)
    return found


def is_plain(path: str) -> bool:
    """Whether the engine can be asked for a path: its name is UTF-8."""
    return _ODD.search(path) is None


def as_told(path: str) -> str:
    """A path as the engine's own lists have it: with U+FFFD for each byte that is no UTF-8."""
    return _ODD.sub("\ufffd", path)


def _plain_above(path: str) -> str:
    return path[: _ODD.search(path).start()].rpartition("/")[0]  # type: ignore[union-attr]


def _depth(path: str) -> int:
    return path.count("/")


def chain(path: str) -> Iterator[str]:
    """The path and the folders above it, the topmost first, without `/`."""
    place = 0
    while (place := path.find("/", place + 1)) > 0:
        yield path[:place]
    if path != "/":
        yield path


def never(path: str) -> bool:  # noqa: ARG001
    """No path."""
    return False


def read(
    container: str, requests: Mapping[str, bool], engine: Engine, *, only: Callable[[str], bool],
    kept: Callable[[str], bool] = never, spool: Spool | None = None,
) -> tuple[dict[str, Entry], dict[str, bytes]]:  # fmt: skip
    """(entries by path, content of the files that `kept` names) of what `requests` (see `cover`) and `only` name. A
    `spool` keeps the content of every file."""
    taken = _Taken(kept, spool)
    for asked, is_deep in sorted(requests.items(), key=lambda one: order(one[0])):
        if asked in taken.entries:
            continue  # with a folder above it
        above = posixpath.dirname(asked)
        with engine.members(container, asked) as members:
            for member, content in members:
                if only(posixpath.join(above, member.name.strip("/"))):
                    taken.put(member, content, above)
                if not is_deep:
                    break
    if alone := taken.follow_links():
        more = read(container, dict.fromkeys(alone, False), engine, only=only, kept=kept, spool=spool)
        return taken.entries | more[0], taken.contents | more[1]
    return taken.entries, taken.contents


def read_own(
    own: OwnFiles, paths: Iterable[str], *, kept: Callable[[str], bool], spool: Spool | None
) -> tuple[dict[str, Entry], dict[str, bytes]]:
    """The same of those paths that the container's own layer has."""
    taken = _Taken(kept, spool)
    for member, content in own.members(sorted(paths, key=order)):
        taken.put(member, content, "/")
    for path in taken.follow_links():
        del taken.entries[path]
    return taken.entries, taken.contents


class _Taken:
    """What was read so far."""

    def __init__(self, kept: Callable[[str], bool], spool: Spool | None) -> None:
        self.entries: dict[str, Entry] = {}
        self.contents: dict[str, bytes] = {}
        self._kept, self._spool = kept, spool
        self._left_bytes = _MOST_IN_ALL_BYTES

    def put(self, member: tarfile.TarInfo, content: IO[bytes] | None, above: str) -> None:
        """Read one member, whose name begins below the folder `above`."""
        path = posixpath.join(above, member.name.strip("/"))
        entry = _entry(path, member, above)
        if content is not None:
            chunks = _chunks(content)
            most = min(_MOST_KEPT_BYTES, self._left_bytes)
            keep: list[bytes] | None = [] if member.size <= most and self._kept(path) else None
            if self._spool:
                chunks = self._spool.put(path, chunks)
            sha256, md5, size = _hashes(chunks, keep, with_md5=_has_md5(path), skip=_header(path))
            entry = dataclasses.replace(entry, sha256=sha256, md5=md5, size=size)
            if keep is not None:
                self.contents[path] = b"".join(keep)
                self._left_bytes -= size
        self.entries[path] = entry

    def follow_links(self) -> list[str]:
        """Give further names of a file its content; returns those whose first name was not read."""
        linked = {path: self.entries.get(one.target) for path, one in self.entries.items() if one.kind == "hardlink"}
        for path, first in linked.items():
            if first:
                self.entries[path] = dataclasses.replace(
                    self.entries[path], size=first.size, sha256=first.sha256, md5=first.md5
                )
                if first.path in self.contents and self._kept(path):
                    self.contents[path] = self.contents[first.path]
        return [path for path, first in linked.items() if not first]


def _entry(path: str, member: tarfile.TarInfo, above: str) -> Entry:
    kind = _KINDS.get(member.type, "file")
    target = member.linkname
    if kind == "hardlink":  # as the tar names it: below the folder that was asked for
        target = posixpath.join(above, target.strip("/"))
    return Entry(
        path=path, kind=kind, mode=member.mode & 0o7777, uid=member.uid, gid=member.gid, size=member.size,
        mtime=int(member.mtime), target=target if kind in ("symlink", "hardlink") else "",
        capability=member.pax_headers.get("SCHILY.xattr.security.capability", ""),
    )  # fmt: skip


def _chunks(content: IO[bytes]) -> Iterator[bytes]:
    while chunk := content.read(_CHUNK_BYTES):
        yield chunk


def _has_md5(path: str) -> bool:
    return path.startswith(_OF_DPKG) or path.endswith(_BYTECODE)


def _header(path: str) -> int:
    return _HEADER_BYTES if path.endswith(_BYTECODE) else 0


def _hashes(chunks: Iterable[bytes], keep: list[bytes] | None, *, with_md5: bool, skip: int) -> tuple[str, str, int]:
    """(sha256, md5 of what comes after the first `skip` bytes or nothing, how many bytes there were)."""
    size = 0
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False) if with_md5 else None
    for chunk in chunks:
        sha256.update(chunk)
        size += len(chunk)
        if md5:
            md5.update(chunk[skip:])
            skip = max(0, skip - len(chunk))
        if keep is not None:
            keep.append(chunk)
    return sha256.hexdigest(), md5.hexdigest() if md5 else "", size
