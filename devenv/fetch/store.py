"""The content-addressed store of locked inputs: one file per sha256, read-only, put there whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from devenv.doors import files
from devenv.doors.http.partial_file import Got, Wanted
from devenv.doors.http.web import Origin, Unusable, Web
from devenv.errors import FetchError
from devenv.lock.model import Artifact, Lock

CHUNK_BYTES = 1 << 20
_HASH_BYTES = 1 << 18  # small enough for a processor's cache


class Store:
    """Files under `root`: `sha256/ab/abcdef…` (mode 0444), `derived/KIND/KEY`, and `tmp/` for what is not done.

    Safe between processes. A new file is verified, and gets a time that follows from its name. A later write
    changes the time, and the file is then read again. `sound` reads it in any case.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """The path of the file with that hash, even before it exists."""
        return self.root / "sha256" / sha256[:2] / sha256

    def has(self, artifact: Artifact) -> bool:
        """Whether the artifact is here, with the size and time that it had when it was verified."""
        return self.holds(artifact.sha256, artifact.size)

    def holds(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Whether a file with that hash is here, of that size when one is given; see `has`."""
        path = self.path(sha256)
        try:
            found = path.stat()
        except OSError:
            return False
        if size_bytes is not None and found.st_size != size_bytes:
            return False
        return int(found.st_mtime) == _time_s(sha256) or self._is_sound(path, sha256)

    def missing(self, lock: Lock) -> tuple[Artifact, ...]:
        """The lock's artifacts that are not here."""
        return tuple(artifact for artifact in lock.artifacts() if not self.has(artifact))

    def sound(self, artifact: Artifact) -> bool:
        """Read the file again and compare size and hash; a wrong one is removed."""
        path = self.path(artifact.sha256)
        try:
            size_bytes = path.stat().st_size
        except OSError:
            return False
        return self._is_sound(path, artifact.sha256) and size_bytes == artifact.size

    def _is_sound(self, path: Path, sha256: str) -> bool:
        try:
            if hash_file(path) == sha256:
                _stamp(path, sha256)
                return True
            path.unlink(missing_ok=True)
        except OSError:
            pass
        return False

    def adopt(self, path: Path, sha256: str | None = None) -> str:
        """Copy a local file in, hashing on the way; returns its sha256.

        Copied, never linked: the owner of `path` may write to it later. Raises FetchError when it cannot be read or
        has another hash than the one given.
        """
        if sha256 is not None and self.holds(sha256):
            return sha256
        digest = hashlib.sha256()
        with self._writing() as temporary:
            try:
                with temporary.open("wb") as target:
                    for chunk in files.chunks(path):
                        digest.update(chunk)
                        target.write(chunk)
            except OSError as error:
                raise FetchError(
                    f"cannot copy {path} to the artifact store: {error.strerror}", hint=files.hint(error)
                ) from None
            found = digest.hexdigest()
            if sha256 is not None and found != sha256:
                raise FetchError(
                    f"{path} is not the file that was pinned",
                    detail=f"sha256 pinned {sha256}\nsha256 found  {found}",
                    hint="put the right file there, or pin its sha256",
                )
            self.commit(temporary, found)
        return found

    def receive(self, chunks: Iterable[bytes], artifact: Artifact) -> None:
        """Put an artifact's bytes here, verified. Raises FetchError for other bytes, and for a full disk."""
        digest, size_bytes = hashlib.sha256(), 0
        with self._writing() as temporary:
            try:
                with temporary.open("wb") as target:
                    for chunk in chunks:
                        digest.update(chunk)
                        size_bytes += len(chunk)
                        target.write(chunk)
            except OSError as error:
                raise FetchError(
                    f"cannot write {artifact.file} to the artifact store: {error.strerror}", where=str(self.root),
                    hint=files.place_hint(error, "put the cache elsewhere with XDG_CACHE_HOME"),
                ) from None  # fmt: skip
            if (digest.hexdigest(), size_bytes) != (artifact.sha256, artifact.size):
                raise FetchError(f"{artifact.file} is not the file that was locked", hint="copy or export it again")
            self.commit(temporary, artifact.sha256)

    def commit(self, temporary: Path, sha256: str) -> Path:
        """Give a finished, verified file of `tmp/` its place. A file that exists already stays."""
        target = self.path(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.chmod(0o444)
        _stamp(temporary, sha256)
        with temporary.open("rb") as handle:
            os.fsync(handle)  # a power cut after the rename must not leave an empty file under a hash
        temporary.replace(target)
        return target

    def derived(self, kind: str, key: str) -> Path:
        """The path of something made from artifacts, even before it exists: `key` is a hash of its inputs."""
        return self.root / "derived" / kind / key

    def kept(self, kind: str, key: str) -> Path | None:
        """The derived file or folder when it is here, with the times that it had when it was made."""
        path = self.derived(kind, key)
        try:
            return path if path.exists() and _is_stamped(path, key) else None
        except FileNotFoundError:  # removed meanwhile
            return None

    def every_kept(self, kind: str) -> Iterator[Path]:
        """Everything derived of that kind that is here."""
        for path in sorted(self.root.joinpath("derived", kind).glob("*")):
            if kept := self.kept(kind, path.name):
                yield kept

    def derive(self, kind: str, key: str, make: Callable[[Path], None], *, anew: bool = False) -> Path:
        """The derived file or folder; made by `make(temporary path)` when it is not here, or `anew`. One maker at a
        time."""
        if not anew and (kept := self.kept(kind, key)):
            return kept
        target = self.derived(kind, key)
        with self.only(f"{kind}-{key}"):
            if not anew and (kept := self.kept(kind, key)):
                return kept
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._writing() as temporary:
                make(temporary)
                _stamp(temporary, key)
                _sync(temporary)
                if target.is_dir():  # a folder cannot replace another folder
                    target.replace(temporary.with_name("old"))
                temporary.replace(target)
        return target

    def part(self, key: str) -> Path:
        """The path of an unfinished download, which is kept to be resumed."""
        folder = self._tmp()
        return folder / f"{key}.part"

    @contextlib.contextmanager
    def only(self, key: str) -> Iterator[None]:
        """Hold a lock between threads and processes; the kernel frees it when this process ends."""
        path = self._tmp() / f"{key}.lock"
        while True:
            handle = path.open("a")
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _same(handle.fileno(), path):
                break
            handle.close()  # its last holder removed the file; wait for the new one
        with handle:
            yield
            path.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Free disk space of the store."""
        return shutil.disk_usage(self._tmp()).free

    def _tmp(self) -> Path:
        folder = self.root / "tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FetchError(
                f"cannot write to the artifact store at {self.root}: {error.strerror}",
                hint="free space there, or put the cache elsewhere with XDG_CACHE_HOME",
            ) from None
        return folder

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._tmp(), prefix="new-") as folder:
            yield Path(folder) / "file"


def bring(
    store: Store,
    web: Web,
    wanted: Wanted,
    places: Callable[[], Iterable[Origin | Unusable]],
    on_bytes: Callable[[int], None] = lambda _: None,
    *,
    key: str | None = None,
) -> Got:
    """Download into the store, verified by all known facts of the file. Raises FetchError, http.Stopped.

    `key`, else the first of `wanted.digests`, names the unfinished file, so that a later run resumes it.
    """
    known = dict(wanted.digests)
    key = key or wanted.digests[0][1]
    with store.only(key):
        sha256 = known.get("sha256")
        if sha256 is not None and store.holds(sha256, wanted.size_bytes):
            return Got(sha256=sha256, size_bytes=store.path(sha256).stat().st_size, url="")
        part = store.part(key)
        got = web.download(wanted, places(), part, on_bytes)
        store.commit(part, got.sha256)
    return got


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """The file's hash, as hex."""
    with path.open("rb", buffering=0) as handle:
        digest = hashlib.new(algorithm)
        # No larger than a small file, because thousands of them are hashed and new memory costs time.
        buffer = memoryview(bytearray(min(_HASH_BYTES, max(1, os.fstat(handle.fileno()).st_size))))
        while count := handle.readinto(buffer):
            digest.update(buffer[:count])
        return digest.hexdigest()


def _time_s(key: str) -> int:
    """The time that stands for a key: seconds since 1970, long ago."""
    return 1_000_000_000 + int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % 500_000_000


def _stamp(path: Path, key: str) -> None:
    """Give a file, or all files of a folder, the time of their key."""
    for each in _files(path):
        with contextlib.suppress(OSError):  # another user's file: it is read again each time
            os.utime(each, (_time_s(key), _time_s(key)))


def _is_stamped(path: Path, key: str) -> bool:
    return all(int(each.stat().st_mtime) == _time_s(key) for each in _files(path))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, _, names in os.walk(path):
        yield from (each for name in names if not (each := Path(folder, name)).is_symlink())


def _sync(made: Path) -> None:
    """Wait until a file, or all files of a folder, are on the disk: a named file must not be empty after a power
    cut."""
    for path in _files(made):
        with path.open("rb") as handle:
            os.fsync(handle)


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
