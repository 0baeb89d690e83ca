"""Files of a folder in which others write at the same time: no part of a path is a link, neither when it is read nor
when it is written, and a file changes whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".devenv-sync-"
"""How the names of unfinished files begin."""
CHUNK_BYTES = 1 << 18
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What has a path. `kind`: `f` a file, `x` a program, `l` a link; `digest`: of a file's bytes (sha256, hex), or the
    link's target; `size` in bytes."""

    kind: str
    size: int
    digest: str

    def is_same(self, other: Entry | None) -> bool:
        """Whether both are the same kind with the same content."""
        return other is not None and (self.kind, self.digest) == (other.kind, other.digest)


class ChangedError(OSError):
    """What stands at a path is not what the caller expects there."""


@contextlib.contextmanager
def folder(root: Path, parts: Iterable[str], *, make: bool = False) -> Iterator[int]:
    """A descriptor of a folder below `root`, made where it is missing with `make`. Raises OSError for a link on the
    way."""
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
            below = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def opened(name: str, at: int) -> BinaryIO:
    """A regular file in the folder `at`, to read. Raises OSError for a link and for anything else."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise ChangedError("it is not a regular file any more")
    return file


def entry(name: str, at: int) -> Entry | None:
    """What has that name in the folder `at`; None for nothing, for a folder and for devices. Reads a file whole."""
    try:
        facts = os.lstat(name, dir_fd=at)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(facts.st_mode):
        target = os.readlink(name, dir_fd=at)
        return Entry(kind="l", size=0, digest=target)
    if not stat.S_ISREG(facts.st_mode):
        return None
    digest, size = hashlib.sha256(), 0
    with opened(name, at) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return Entry(kind="x" if facts.st_mode & 0o100 else "f", size=size, digest=digest.hexdigest())


def replace(root: Path, path: str, wanted: Entry, chunks: Iterable[bytes], expect: Entry | None) -> None:
    """Put a file or link at `path` below `root`, if `expect` stands there now. Folders on the way are made.

    Raises ChangedError for other bytes than `wanted` and for another thing at the path, OSError.
    """
    *parts, name = path.split("/")
    with folder(root, parts, make=True) as at:
        fresh = f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            if wanted.kind == "l":
                os.symlink(wanted.digest, fresh, dir_fd=at)
            else:
                _write(fresh, at, wanted, chunks)
            _expect(name, at, expect)
            if expect is None and wanted.kind != "l":
                os.link(fresh, name, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)  # never over a new file
                os.unlink(fresh, dir_fd=at)
            else:
                os.replace(fresh, name, src_dir_fd=at, dst_dir_fd=at)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=at)
            raise


def _write(fresh: str, at: int, wanted: Entry, chunks: Iterable[bytes]) -> None:
    mode = 0o777 if wanted.kind == "x" else 0o666
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=at)
    digest = hashlib.sha256()
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != wanted.digest:
        raise ChangedError("it changed while it was read")


def remove(root: Path, path: str, expect: Entry, keep: Path | None = None) -> None:
    """Remove what stands at `path`, if it is `expect`, and folders that are empty then. With `keep` a copy stays there.
    Raises ChangedError, OSError."""
    *parts, name = path.split("/")
    with folder(root, parts) as at:
        _expect(name, at, expect)
        if keep is not None and expect.kind != "l":
            keep.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with opened(name, at) as file, keep.open("wb") as copy:
                while chunk := file.read(CHUNK_BYTES):
                    copy.write(chunk)
        os.unlink(name, dir_fd=at)
    while parts:
        *parts, name = parts
        with folder(root, parts) as at:
            try:
                os.rmdir(name, dir_fd=at)
            except OSError:
                return


def _expect(name: str, at: int, expect: Entry | None) -> None:
    found = entry(name, at)
    if expect is None:
        try:
            os.lstat(name, dir_fd=at)
        except FileNotFoundError:
            return
        raise ChangedError("something has that name already")
    if not expect.is_same(found):
        raise ChangedError("it has changed meanwhile")
