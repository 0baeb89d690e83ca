"""The files of an image layout that is not trusted: a folder, a tar, or a tar in parts. Other names do not count."""

from __future__ import annotations

import contextlib
import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

from devenv.doors import files
from devenv.errors import ShareError
from devenv.share.layout_index import BLOBS, INDEX, LAYOUT

_NAME = re.compile(rf"{LAYOUT}|{INDEX}|{BLOBS}/[0-9a-f]{{64}}")
_MOST_MEMBERS = 100_000
_MOST_HEADER_BYTES = 1 << 20


class Opened(Protocol):
    """A file of the layout, to read once from its beginning."""

    def read(self, size: int, /) -> bytes:
        """At most that many bytes; none at the end."""


class LayoutFiles(Protocol):
    """The files of one layout."""

    def blobs(self) -> frozenset[str]:
        """The sha256 (hex) that the names of its blobs state."""

    def opened(self, name: str) -> contextlib.AbstractContextManager[tuple[Opened, int]]:
        """A file and its size. Raises FileNotFoundError, OSError."""


@contextlib.contextmanager
def layout_files(
    path: Path, parts: Sequence[Path] = (), others: Sequence[Path] = ()
) -> Iterator[LayoutFiles]:  # fmt: skip
    """Those of a folder, of one tar, or of a tar whose parts lie in order; blobs that it lacks may lie in `others`.
    Raises ShareError."""
    if others:
        with contextlib.ExitStack() as held:
            first = held.enter_context(layout_files(path, parts))
            yield _Several([first, *(held.enter_context(layout_files(one)) for one in others)])
        return
    try:
        if not parts and path.is_dir():
            yield _Folder(path)
            return
        with contextlib.ExitStack() as held:
            every = [held.enter_context(files.opened(part)) for part in (parts or (path,))]
            yield _Tar(_Joined(every), path)
    except OSError as error:
        where = str(error.filename or path)
        raise ShareError(f"cannot read {path}: {files.reason(error)}", where=where, hint=files.hint(error)) from None


def is_layout(path: Path) -> bool:
    """Whether it may be a layout: a folder with its marker, or a file that ends with `.tar`."""
    if path.is_dir():
        return files.is_there(path / LAYOUT)
    return path.suffix == ".tar" and path.is_file()


class _Several:
    def __init__(self, every: Sequence[LayoutFiles]) -> None:
        self._every = every

    def blobs(self) -> frozenset[str]:
        return frozenset().union(*(one.blobs() for one in self._every))

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[tuple[Opened, int]]:
        first, *others = self._every
        hexes = name.rpartition("/")[2]
        found = next((one for one in others if hexes in one.blobs()), first) if hexes not in first.blobs() else first
        with found.opened(name) as opened:
            yield opened


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def blobs(self) -> frozenset[str]:
        place = self._root / BLOBS
        names = [path.name for path in place.iterdir()] if place.is_dir() else []
        return frozenset(name for name in names if _NAME.fullmatch(f"{BLOBS}/{name}"))

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[tuple[Opened, int]]:
        with files.opened(self._root / name, inside=self._root) as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            yield file, size


class _Tar:
    def __init__(self, file: _Joined, path: Path) -> None:
        self._file = file
        self._members = _members(file, path)

    def blobs(self) -> frozenset[str]:
        return frozenset(name.rpartition("/")[2] for name in self._members if name.startswith(BLOBS))

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[tuple[Opened, int]]:
        try:
            offset, size = self._members[name]
        except KeyError:
            raise FileNotFoundError(2, "the file does not exist", name) from None
        yield _Window(self._file, offset, size), size


def _members(file: _Joined, path: Path) -> dict[str, tuple[int, int]]:
    """Name → place of every file of a layout. Raises ShareError."""
    found: dict[str, tuple[int, int]] = {}
    count = 0
    try:
        # tarfile reads headers in one piece, and the header itself names its size.
        with tarfile.open(fileobj=_Careful(file), mode="r:") as archive:  # type: ignore[call-overload]
            for member in archive:
                archive.members.clear()
                name = member.name.removeprefix("./")
                count += 1
                if count > _MOST_MEMBERS:
                    raise tarfile.ReadError(f"more than {_MOST_MEMBERS:,} files")
                if not _NAME.fullmatch(name):
                    continue
                if not member.isreg() or member.issparse():
                    raise tarfile.ReadError(f"{name} is not a regular file")
                if name in found:
                    raise tarfile.ReadError(f"{name} is in it twice")
                if member.offset_data + member.size > file.size:
                    raise tarfile.ReadError(f"it ends in the middle of {name}")
                found[name] = (member.offset_data, member.size)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ShareError(
            f"{path} cannot be read as an image layout: {error}",
            hint="it is damaged or incomplete, or not made by 'devenv export': copy or export it again",
        ) from None
    return found


class _Joined:
    """Files one after another, as one."""

    def __init__(self, every: Sequence[IO[bytes]]) -> None:
        self._files: list[tuple[int, int, IO[bytes]]] = []
        self.size = self._at = 0
        for file in every:
            length = file.seek(0, io.SEEK_END)
            self._files.append((self.size, self.size + length, file))
            self.size += length

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def read(self, size: int, /) -> bytes:
        """That many bytes, fewer only at the end."""
        pieces = []
        for start, end, file in self._files:
            if size and start <= self._at < end:
                file.seek(self._at - start)
                piece = file.read(min(size, end - self._at))
                pieces.append(piece)
                self._at += len(piece)
                size -= len(piece)
        return b"".join(pieces)


class _Careful:
    """What `tarfile` reads headers through: none of them is large."""

    def __init__(self, file: _Joined) -> None:
        self.tell, self.seek = file.tell, file.seek
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


class _Window:
    """A range of a file."""

    def __init__(self, file: _Joined, offset: int, size: int) -> None:
        self._file = file
        self._at, self._end = offset, offset + size

    def read(self, size: int, /) -> bytes:
        self._file.seek(self._at)
        piece = self._file.read(min(size, self._end - self._at))
        self._at += len(piece)
        return piece
