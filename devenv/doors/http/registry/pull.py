"""Several blobs from a repository at once: in pieces over kept connections, resumed at the byte, verified."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.doors.file_lock import hold
from devenv.doors.http.partial_file import Again, Refused, Stopped
from devenv.doors.http.pieces import PIECE_BYTES
from devenv.doors.http.ranges import NoRanges
from devenv.doors.http.registry.arriving import Arriving
from devenv.doors.http.registry.blob_ranges import BlobRanges
from devenv.doors.http.registry.faults import unreached, wrong
from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.http.retry import Tries
from devenv.doors.space import require_space
from devenv.doors.terminal.progress import Progress
from devenv.doors.thread import in_thread
from devenv.errors import ShareError

if TYPE_CHECKING:
    from devenv.doors.http.registry.repository import Repository

CONNECTIONS = 8
Placed = Callable[[Path], object]
Grew = Callable[[Path, Path, int], object]
_LOCK = ".lock"
_AT_ONCE = 4
"""Blobs in download at the same time; each is hashed by a thread of its own."""


def pull(
    repository: Repository, blobs: Iterable[Descriptor], folder: Path, progress: Progress, *,
    placed: Placed = lambda _: None, grew: Grew = lambda *_: None, connections: int = CONNECTIONS,
    piece_bytes: int = PIECE_BYTES,
) -> int:  # fmt: skip
    """Download these blobs, in this order, to a folder, each under its sha256 in hex, as in `blobs/sha256` of an OCI
    layout. A file of that name and size was verified, and is not read again. The data received before a failure or kill
    is kept beside them. `placed` is called with each file once it is whole; `grew` with the file, the path where it
    arrives, and how many bytes are there from its beginning on, which are not verified yet: fewer than before when
    those were wrong. Any thread may call them, and what they raise ends the download. Returns the number of downloaded
    bytes.

    Raises ShareError (RegistryError, disk), NotReadyError, CancelledError; after a failure the registry is halted.
    """
    cancel = repository.registry.cancel
    task = f"pull from {repository}"
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder / _LOCK, lambda: progress.message(f"another devenv pulls to {folder}: waiting"), cancel):
            wanted = {blob.digest: blob for blob in blobs}.values()
            left = [blob for blob in wanted if not _is_placed(folder, blob)]
            _require_space(folder, left)
            for blob in wanted:
                if blob not in left:
                    placed(folder / blob.hex)
            present = sum(blob.size for blob in wanted) - sum(blob.size for blob in left)
            progress.start(task, sum(blob.size for blob in wanted))
            progress.advance(task, present)
            try:
                download = _Download(
                    repository,
                    left,
                    folder,
                    progress,
                    task=task,
                    piece_bytes=piece_bytes,
                    placed=placed,
                    grew=grew,
                )
                download.run(connections)
            finally:
                progress.finish(task)
            (folder / _LOCK).unlink()
    return download.received


class _Download:
    def __init__(
        self, repository: Repository, blobs: list[Descriptor], folder: Path, progress: Progress, *, task: str,
        piece_bytes: int, placed: Placed, grew: Grew,
    ) -> None:  # fmt: skip
        self._placed = placed
        self._grew = grew
        self._repository = repository
        self._registry = repository.registry
        self._folder = folder
        self._progress = progress
        self._task = task
        self._piece_bytes = piece_bytes
        self._waiting = deque(blobs)
        self._active: list[Arriving] = []
        self._state = threading.Condition()
        self._failure: BaseException | None = None
        self.received = 0
        self._blobs = BlobRanges(repository, known_by="the manifest")

    def run(self, connections: int) -> None:
        try:
            if self._waiting:
                self._registry.together("pull", self._work, connections)
        finally:
            with self._state:  # a failed hasher has stopped the workers, and the other hashers see the end
                while any(not blob.over for blob in self._active):
                    self._state.wait(0.2)
            for blob in self._active:
                blob.part.close()

    def _work(self) -> None:
        while (job := self._claim()) is not None:
            arriving, piece = job
            try:
                self._bring(arriving, piece)
            except NoRanges:
                with self._state:
                    if arriving.ranged:
                        arriving.ranged = False
                        arriving.plan()
            finally:
                with self._state:
                    arriving.working -= 1
                    self._state.notify_all()
                arriving.digest.wake()

    def _claim(self) -> tuple[Arriving, int] | None:
        """The next piece; None when nothing is left."""
        with self._state:
            while True:
                if self._registry.stop.is_set():
                    raise Stopped
                if self._failure is not None:
                    raise self._failure
                busy = [blob for blob in self._active if not blob.over]
                free = [blob for blob in busy if blob.todo and (blob.ranged or not blob.working)]
                # A blob for each connection comes before connections that share one.
                if self._waiting and len(busy) < _AT_ONCE and not any(blob.working == 0 for blob in free):
                    self._open(self._waiting.popleft())
                elif free:
                    arriving = min(free, key=lambda blob: blob.working)
                    arriving.working += 1
                    return arriving, arriving.todo.popleft()
                elif not busy:
                    return None
                else:
                    self._state.wait(0.5)

    def _open(self, blob: Descriptor) -> None:
        part = _part(self._folder, blob)
        arriving = Arriving(blob, part, self._piece_bytes, partial(self._grew, self._folder / blob.hex, part))
        self._progress.advance(self._task, arriving.part.total)
        self._active.append(arriving)
        in_thread("hash", lambda: self._verify(arriving))

    def _bring(self, arriving: Arriving, piece: int) -> None:
        """Download a piece. Raises RegistryError, NoRanges, Stopped, CancelledError, OSError."""
        blob, registry = arriving.blob, self._registry
        what, tries = self._blobs.label(blob.digest), Tries(registry.policy, registry.stop)

        def take(offset: int, chunk: bytes) -> None:
            new = arriving.part.write(offset, chunk, 0)
            if new == len(chunk):
                arriving.digest.take(offset, chunk)
            with self._state:
                self.received += len(chunk)
            self._progress.advance(self._task, new)

        while True:
            start, end = arriving.span(piece)
            reached = arriving.reached(piece)
            if start >= end:
                return
            try:
                self._blobs.read(blob.digest, start, end, blob.size, take)
            except NoRanges:
                raise
            except Refused as fault:
                self._blobs.request_without_body(blob.digest)
                raise unreached(what, registry.host, fault, str(fault)) from None
            except Again as fault:
                registry.again(what, fault, tries, further=arriving.reached(piece) > reached)
            else:
                return

    # ---- verifying

    def _verify(self, arriving: Arriving) -> None:
        """Hash behind the download; put the blob in its place, or drop what is wrong."""
        try:
            while (found := arriving.digest.follow(self._registry.stop.is_set)) is not None:
                with self._state:
                    while arriving.working:  # a worker that is about to find nothing left
                        self._state.wait(0.2)
                    if found == arriving.blob.hex:
                        self._place(arriving)
                        return
                    self._mismatch(arriving, found)
                    self._state.notify_all()
        except BaseException as error:  # noqa: BLE001 - carried to the workers, which raise it
            with self._state:
                self._failure = error
        finally:
            with self._state:
                arriving.over = True
                self._state.notify_all()

    def _place(self, arriving: Arriving) -> None:
        arriving.part.close()
        target = self._folder / arriving.blob.hex
        arriving.part.path.replace(target)
        arriving.part.discard()
        self._placed(target)

    def _mismatch(self, arriving: Arriving, found: str) -> None:
        resumed = arriving.resumed
        self._progress.advance(self._task, -arriving.restart())
        if resumed:
            self._progress.message(f"{arriving.blob.digest}: the data of an earlier run was wrong; downloaded again")
            return
        raise wrong(
            f"download {arriving.blob.digest} of {self._repository}", self._registry.host,
            f"sends other bytes: sha256:{found}", "push it again, or pull from another registry",
        )  # fmt: skip


def _is_placed(folder: Path, blob: Descriptor) -> bool:
    path = folder / blob.hex
    return path.is_file() and not path.is_symlink() and path.stat().st_size == blob.size


def _require_space(folder: Path, left: list[Descriptor]) -> None:
    """Raise ShareError where less is free than these blobs still need."""
    kept = sum(part.stat().st_blocks * 512 for blob in left if (part := _part(folder, blob)).is_file())
    hint = "free disk space ('devenv prune'), or put the cache elsewhere with XDG_CACHE_HOME"
    require_space(folder, sum(blob.size for blob in left) - kept, to="download", hint=hint)


def _part(folder: Path, blob: Descriptor) -> Path:
    return folder / f"{blob.hex}.part"


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Failures of the disk as errors."""
    try:
        yield
    except OSError as error:
        raise ShareError(
            f"cannot write the downloaded blobs: {error.strerror or error}", where=str(folder),
            hint=files.place_hint(error, "name another folder"),
        ) from None  # fmt: skip
