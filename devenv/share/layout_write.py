"""An image layout that is written: a folder, blob by blob, or a tar in one pass, whole or in parts.

A folder counts as a layout when its marker and index are there, and these come last. A tar takes its name when it is
whole. Equal content gives equal bytes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from devenv.doors import files, space
from devenv.doors.file_lock import hold
from devenv.doors.http.registry.manifest import MOST_BYTES, OCI_INDEX, Descriptor, Manifest
from devenv.doors.http.registry.upload import Blob
from devenv.errors import ShareError
from devenv.share.layout_index import BLOBS, DOCKER, INDEX, LAYOUT, LAYOUT_TEXT, Named, attached_to
from devenv.share.parts import Parts, Splitting, index_name, part_name, sync

if TYPE_CHECKING:
    from devenv.doors.terminal.progress import Progress
    from devenv.up.session import Session

_CHUNK_BYTES = 1 << 20
_TIME_S = 1_700_000_000
_TASK = "write"


class Writer(Protocol):
    """Takes the blobs of a layout; it becomes one with `finish`. Raises ShareError."""

    def add(self, blobs: Iterable[Blob], progress: Progress) -> int:
        """Have these blobs in it; the bytes that are written for them."""

    def finish(self, named: Named) -> None:
        """Make it a layout with this content; all blobs of it were added."""


@contextlib.contextmanager
def writer(path: Path, session: Session, *, tar: bool, part_bytes: int | None) -> Iterator[Writer]:
    """The writer for a folder or a tar, alone at it. What a killed run left is used or removed. Raises ShareError."""
    place = path.with_name(f".{path.name}.unfinished") if tar else path
    waiting = session.waiting_for(f"writes {path}")
    with disk(path):
        _require_no_link([place] if tar else [path / "blobs", path / BLOBS])
        place.mkdir(parents=True, exist_ok=True)
        with hold(place / ".lock", waiting, session.cancel, leave_nothing=True):
            if not tar:
                try:
                    yield _Folder(path, session)
                finally:
                    (place / ".lock").unlink(missing_ok=True)
                return
            _empty(place)
            try:
                yield _Tar(path, place, part_bytes, session)
            finally:
                _empty(place)


def _require_no_link(folders: Iterable[Path]) -> None:
    """What is not of an export is removed from these. Raises ShareError where another folder would be meant."""
    for path in folders:
        if path.is_symlink():
            raise ShareError(f"{path} is a link, so it is not written to", hint="remove it, or name a new place")


@contextlib.contextmanager
def disk(path: Path) -> Iterator[None]:
    """Failures of the disk as errors."""
    try:
        yield
    except OSError as error:
        hint = files.place_hint(error, "name another place")
        if error.errno == errno.EFBIG:
            hint = "the file system there takes no file this large: write parts, --split 4G"
        raise ShareError(f"cannot write {path}: {error.strerror or error}", where=str(path), hint=hint) from None


def require_space(folder: Path, wanted: int) -> None:
    """Raise ShareError where less is free."""
    space.require_space(folder, wanted, to="write", hint="free disk space, or name another place")


def content(blob: Blob) -> Iterator[bytes]:
    """A blob's bytes, compared with its digest at the end. Raises ShareError, OSError."""
    digest, size = hashlib.sha256(), 0
    for chunk in [blob.content] if isinstance(blob.content, bytes) else files.chunks(blob.content):
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if size != blob.descriptor.size or digest.hexdigest() != blob.descriptor.hex:
        raise ShareError(
            f"the local file is not what {blob.descriptor.digest} stands for, because it was changed",
            where=str(blob.content) if isinstance(blob.content, Path) else None, hint="remove it, and run it again",
        )  # fmt: skip


class _Folder:
    def __init__(self, root: Path, session: Session) -> None:
        self._root = root
        self._session = session
        self._blobs: set[str] = set()
        self._require_own()

    def add(self, blobs: Iterable[Blob], progress: Progress) -> int:
        wanted = {blob.descriptor.digest: blob for blob in blobs}.values()
        places = [(blob, self._root / BLOBS / blob.descriptor.hex) for blob in wanted]
        (self._root / BLOBS).mkdir(parents=True, exist_ok=True)
        self._blobs |= {path.name for _, path in places}
        missing = [(blob, path) for blob, path in places if not _holds(path, blob.descriptor)]
        size = sum(blob.descriptor.size for blob, _ in missing)
        require_space(self._root, size)
        progress.start(_TASK, size)
        try:
            for blob, path in missing:
                self._write(blob, path, progress)
        finally:
            progress.finish(_TASK)
        return size

    def finish(self, named: Named) -> None:
        for name, data in ((LAYOUT, LAYOUT_TEXT), (INDEX, named.index())):
            files.write_below(self._root, name, data)
        for path in (self._root / BLOBS).iterdir():  # of an earlier export to this folder
            if path.name not in self._blobs:
                path.unlink()

    def _write(self, blob: Blob, path: Path, progress: Progress) -> None:
        fresh = self._root / ".unfinished"
        fresh.unlink(missing_ok=True)
        try:
            with fresh.open("xb") as file:
                for chunk in content(blob):
                    self._session.cancel.check()
                    file.write(chunk)
                    progress.advance(_TASK, len(chunk))
                sync(file)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    def _require_own(self) -> None:
        """Raise ShareError for a folder with something else in it."""
        known = {LAYOUT, INDEX, BLOBS.partition("/")[0], ".lock", ".unfinished"}
        other = sorted({path.name for path in self._root.iterdir()} - known)
        if not other and files.is_there(self._root / INDEX):
            try:
                index = Manifest.read(files.read(self._root / INDEX, most_bytes=MOST_BYTES), OCI_INDEX)
                other = [] if attached_to(index) else ["images that devenv did not export"]
            except (ValueError, OSError):
                other = [INDEX]
        if other:
            raise ShareError(
                f"the folder {self._root} holds {other[0]}, so it is not written to", hint="name a new folder"
            )


def _holds(path: Path, descriptor: Descriptor) -> bool:
    """Whether a blob is there, whole: an earlier export was killed, or went to the same folder."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != descriptor.size:
        return False
    return files.sha256(path) == descriptor.hex


class _Tar:
    def __init__(self, path: Path, place: Path, part_bytes: int | None, session: Session) -> None:
        self._path = path
        self._place = place
        self._part_bytes = part_bytes
        self._session = session
        self._blobs: dict[str, Blob] = {}
        self._progress: Progress | None = None

    def add(self, blobs: Iterable[Blob], progress: Progress) -> int:
        new = {blob.descriptor.hex: blob for blob in blobs if blob.descriptor.hex not in self._blobs}
        self._blobs |= new
        self._progress = progress
        return sum(blob.descriptor.size for blob in new.values())

    def finish(self, named: Named) -> None:
        texts = [(LAYOUT, LAYOUT_TEXT), (INDEX, named.index())]
        if (docker := named.docker()) and {layer.hex for layer in named.top.layers} <= self._blobs.keys():
            texts.append((DOCKER, docker))
        blobs = sorted(self._blobs.values(), key=lambda blob: (blob.descriptor.size, blob.descriptor.hex))
        # Documents first: a reader that goes through the file once knows then what comes.
        members: list[tuple[str, int, Iterator[bytes]]] = [(name, len(data), iter([data])) for name, data in texts]
        members += [(f"{BLOBS}/{blob.descriptor.hex}", blob.descriptor.size, content(blob)) for blob in blobs]
        size = sum(len(_header(name, size)) + size + -size % 512 for name, size, _ in members) + 1024
        require_space(self._place, size)
        if self._progress:
            self._progress.start(_TASK, size)
        try:
            self._write(members)
        finally:
            if self._progress:
                self._progress.finish(_TASK)

    def _write(self, members: Sequence[tuple[str, int, Iterator[bytes]]]) -> None:
        if self._part_bytes is None:
            fresh = self._place / self._path.name
            with fresh.open("xb") as file:
                for chunk in self._stream(members):
                    file.write(chunk)
                sync(file)
            fresh.replace(self._path)
            return
        with Splitting(self._place, self._path.name, self._part_bytes) as parts:
            for chunk in self._stream(members):
                parts.write(chunk)
            names = parts.finish()
        _remove_parts(self._path)
        for name in names:  # the index comes last: without it, parts are not used
            (self._place / name).replace(self._path.with_name(name))

    def _stream(self, members: Sequence[tuple[str, int, Iterator[bytes]]]) -> Iterator[bytes]:
        for name, size, chunks in members:
            yield _header(name, size)
            for chunk in chunks:
                self._session.cancel.check()
                yield chunk
                if self._progress:
                    self._progress.advance(_TASK, len(chunk))
            yield bytes(-size % 512)
        yield bytes(1024)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = size, _TIME_S
    return member.tobuf(tarfile.PAX_FORMAT)


def _remove_parts(path: Path) -> None:
    """Remove an earlier export's index, and then its parts: those of two exports must not be mixed."""
    index = path.with_name(index_name(path.name))
    if not index.is_file():
        return
    try:
        count = len(Parts.read(index).parts)
    except ShareError:
        count = 0
    index.unlink()
    for number in range(1, count + 1):
        path.with_name(part_name(path.name, number)).unlink(missing_ok=True)


def _empty(place: Path) -> None:
    for path in place.iterdir():
        if path.name != ".lock":
            with contextlib.suppress(OSError):
                path.unlink()
