"""One download of several files: pieces over several connections, one source after another, hashed once written."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from devenv.doors.http.partial_file import Again, Denied, Refused, Stopped
from devenv.doors.http.pieces import PIECE_BYTES, Part
from devenv.doors.http.ranges import NoRanges, Ranges
from devenv.doors.http.retry import Tries
from devenv.doors.terminal.progress import Progress
from devenv.errors import FetchError
from devenv.lock.model import LockedModel, ModelFile
from devenv.weights.download.queue import Todo
from devenv.weights.download.transfer import WHOLE, Arriving, Source
from devenv.weights.store import Weights, hash_jobs

CONNECTIONS = 8


class Download:
    """Downloads files into the store. Bytes that arrive in the file's order are hashed at once. Several workers
    read one file out of order: a thread of that file's own then hashes it."""

    def __init__(
        self, model: LockedModel, files: tuple[ModelFile, ...], *, store: Weights, web: Ranges,
        sources: tuple[Source, ...], progress: Progress, task: str, connections: int = CONNECTIONS,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:  # fmt: skip
        self._model = model
        self._store = store
        self._web = web
        self._sources = sources
        self._progress = progress
        self._task = task
        self._connections = connections
        self._piece_bytes = piece_bytes
        self._size = sum(file.size for file in files)
        self._todo = Todo(files, piece_bytes=piece_bytes, most=max(hash_jobs(), connections // 2))
        self._state = self._todo.state
        self._failed: list[FetchError] = []
        self._remarks: list[str] = []

    def run(self) -> None:
        """All of it. Raises FetchError; the downloaded data is kept."""
        self._progress.start(self._task, self._size)
        workers = ThreadPoolExecutor(self._connections, thread_name_prefix="weights")
        hashers = ThreadPoolExecutor(self._todo.most, thread_name_prefix="hash")
        self._hashers = hashers
        try:
            futures: list[Future[None]] = [workers.submit(self._work, n) for n in range(self._connections)]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            self._web.halt()
            for source in self._sources:
                source.halt()
            with self._state:
                self._state.notify_all()
            raise
        finally:
            for pool in (workers, hashers):
                pool.shutdown(wait=True, cancel_futures=True)
            for arriving in self._todo.active:
                arriving.part.close()
            self._progress.finish(self._task)
        if self._failed:
            first = self._failed[0]
            more = f" (and {len(self._failed) - 1} more files)" if self._failed[1:] else ""
            raise FetchError(first.message + more, where=first.where, detail=first.detail, hint=first.hint)

    @property
    def received(self) -> int:
        """Number of received bytes."""
        return sum(source.received for source in self._sources)

    def by_source(self) -> tuple[tuple[str, int], ...]:
        """Number of received bytes by hub."""
        return tuple((source.name, source.received) for source in self._sources if source.received)

    def remarks(self) -> tuple[str, ...]:
        """Warnings about faults that did not stop the download."""
        return tuple(self._remarks)

    # ---- workers

    def _work(self, number: int) -> None:
        small_first = number % 2 == 1
        while True:
            found = self._claim(small_first)
            if found is None:
                return
            if isinstance(found, ModelFile):
                self._small_file(found)
                continue
            arriving, piece = found
            try:
                self._bring_piece(arriving, piece)
            finally:
                with self._state:
                    arriving.working -= 1
                    self._state.notify_all()

    def _claim(self, small_first: bool) -> ModelFile | tuple[Arriving, int] | None:
        """The next piece of work; None when there is no more."""
        with self._state:
            while True:
                if self._web.stop.is_set():
                    raise Stopped
                if all(source.dead is not None for source in self._sources):
                    self._give_up()
                    return None
                if small_first and (small := self._todo.small()):
                    return small
                if large := self._todo.large():
                    self._open(large)
                    continue
                if piece := self._todo.piece():
                    return piece
                if small := self._todo.small():
                    return small
                if self._todo.over():
                    return None
                self._state.wait(0.5)

    def _open(self, file: ModelFile) -> None:
        part = Part(file.size, self._store.parts(self._model.key) / file.sha256, piece_bytes=self._piece_bytes)
        part.__enter__()
        arriving = Arriving(part, file)
        arriving.resumed = part.total > 0
        arriving.plan()
        self._count(part.total)
        self._todo.active.append(arriving)
        self._todo.unverified += 1
        self._hashers.submit(self._hash, arriving)

    def _bring_piece(self, arriving: Arriving, piece: int) -> None:
        epoch = arriving.epoch
        try:
            self._from_sources(arriving, piece)
        except NoRanges:
            with self._state:
                arriving.ranged = False
                arriving.plan()
        except FetchError as error:
            with self._state:
                if arriving.epoch == epoch and not arriving.over:
                    arriving.over = True
                    self._failed.append(error)
        arriving.digest.wake()

    def _from_sources(self, arriving: Arriving, piece: int) -> None:
        """One piece from the first source that gives it. Raises FetchError when none does, NoRanges."""
        while True:
            source = self._next_source(arriving)
            if source is None:
                raise self._unavailable(arriving.file, arriving)
            if self._from_source(arriving, piece, source):
                return

    def _next_source(self, arriving: Arriving) -> Source | None:
        usable = [source for source in self._sources if source.dead is None and source.number not in arriving.refused]
        if arriving.only is not None:
            return next((source for source in usable if source.number == arriving.only), None) or next(
                iter(usable), None
            )
        return next(iter(usable), None)

    def _from_source(self, arriving: Arriving, piece: int, source: Source) -> bool:
        """Try several times. False: this source does not give it."""
        part, file = arriving.part, arriving.file
        tries = Tries(self._web.policy, self._web.stop)
        while source.dead is None and source.number not in arriving.refused:
            whole = piece == WHOLE
            start = 0 if whole else part.start(piece) + part.have(piece)
            end = file.size if whole else part.start(piece) + part.length(piece)
            if start >= end and not (whole and not part.complete):
                return True
            reached = part.total if whole else part.have(piece)

            def take(offset: int, chunk: bytes) -> None:
                new = part.write(offset, chunk, source.number)
                if new == len(chunk):
                    arriving.digest.take(offset, chunk)
                self._count(new, source)

            try:
                source.read(file, start, end, take)
            except NoRanges:
                raise
            except Refused as refused:
                self._refuse(arriving, source, refused)
            except Again as again:
                further = (part.total if whole else part.have(piece)) > reached
                self._again(arriving, source, again, tries, further=further)
            else:
                return True
        return False

    def _again(self, arriving: Arriving, source: Source, again: Again, tries: Tries, *, further: bool) -> None:
        """Wait before the next try; after the last one the source is refused."""
        # With another source left, an unreachable one gets few tries.
        most = self._most_tries(arriving, source) if again.offline or (again.silent and not source.received) else None
        if why := tries.failed(again, further=further, most=most):
            self._refuse(arriving, source, Refused(why, offline=again.offline or most is not None))

    def _most_tries(self, arriving: Arriving, source: Source) -> int | None:
        """How often a source that cannot be reached is tried; None where no other one is left."""
        others = [
            other for other in self._sources
            if other is not source and other.dead is None and other.number not in arriving.refused
            and other.offers(arriving.file)
        ]  # fmt: skip
        if not others:
            return None
        return 1 if any(other.stands_in for other in others) else 2

    def _refuse(self, arriving: Arriving, source: Source, refused: Refused) -> None:
        with self._state:
            if source.number in arriving.refused:
                return
            arriving.refuse(source, str(refused))
            if isinstance(refused, Denied):
                source.denied = arriving.file.path
            if isinstance(refused, Denied) or refused.offline:
                source.dead = str(refused)
                if following := self._next_source(arriving):
                    self._progress.message(f"{source.name}: {refused}; now from {following.name}")
            self._remark(f"{source.name}: {arriving.file.path}: {refused}")

    # ---- small files

    def _small_file(self, file: ModelFile) -> None:
        with Part(file.size, self._store.parts(self._model.key) / file.sha256, piece_bytes=max(1, file.size)) as part:
            arriving = Arriving(part, file)
            arriving.resumed = part.total > 0
            self._count(part.total)
            pieces: Sequence[int] = range(part.count)  # the size that an earlier devenv used, if it began the file
            while True:
                try:
                    if file.size:
                        try:
                            for piece in pieces:
                                self._from_sources(arriving, piece)
                        except NoRanges:
                            self._drop(arriving, None)
                            arriving.resumed = False
                            pieces = (WHOLE,)
                            continue
                    found = arriving.digest.follow(self._web.stop.is_set)
                    if found is None:
                        raise Stopped
                    if found == file.sha256:
                        break
                    self._mismatch(arriving, found)
                except FetchError as error:
                    with self._state:
                        self._failed.append(error)
                    return
            # In this order, so that a kill in between loses only the map, and not its file.
            self._store.put(self._model, file, part.path)
            part.discard()

    # ---- hashing behind the download

    def _hash(self, arriving: Arriving) -> None:
        file = arriving.file
        try:
            while True:
                epoch = arriving.epoch
                found = arriving.digest.follow(lambda: arriving.over or self._web.stop.is_set())
                if found is None:
                    return
                if found == file.sha256:
                    self._settle(arriving)
                    return
                with self._state:  # no worker writes now, because all pieces are complete
                    while arriving.working and not self._web.stop.is_set():
                        self._state.wait(0.2)
                    assert arriving.epoch == epoch
                    try:
                        self._mismatch(arriving, found)
                    except FetchError as error:
                        arriving.over = True
                        self._failed.append(error)
                        return
                    arriving.epoch += 1
                    arriving.plan()
                    self._state.notify_all()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits, as an error of this download
            with self._state:
                arriving.over = True
                if isinstance(error, OSError):
                    self._failed.append(self._store.failed(error))
                elif not isinstance(error, Stopped):
                    self._failed.append(FetchError(f"cannot verify {file.path}: {type(error).__name__}: {error}"))
        finally:
            with self._state:
                self._todo.unverified -= 1
                self._state.notify_all()

    def _settle(self, arriving: Arriving) -> None:
        with self._state:
            while arriving.working and not self._web.stop.is_set():
                self._state.wait(0.2)
            arriving.over = True
            self._todo.active.remove(arriving)
        arriving.part.close()
        self._store.put(self._model, arriving.file, arriving.part.path)
        arriving.part.discard()

    def _mismatch(self, arriving: Arriving, found: str) -> None:
        """The file is complete but wrong: find the source, and remove only its bytes. Raises FetchError."""
        part = arriving.part
        by_source = part.bytes_by_source()
        names = {source.number: source.name for source in self._sources}
        if len(by_source) > 1:
            # Keep the bytes of the source with most of them, and take the rest from it; the next hash decides.
            alive = {source.number for source in self._sources if source.dead is None} - arriving.refused.keys()
            keep = max(by_source, key=lambda number: (number in alive, by_source[number]))
            self._drop(arriving, keep)
            arriving.only = keep
            mixed = " and ".join(names.get(number, "an earlier source") for number in by_source)
            self._remark(
                f"{arriving.file.path}: bytes of {mixed} "
                f"do not make the locked file; taking all from {names.get(keep, 'an earlier source')}"
            )
            return
        self._drop(arriving, None)
        if arriving.resumed:
            arriving.resumed = False
            self._remark(f"{arriving.file.path}: the data of an earlier run was wrong; downloaded again")
            return
        number = next(iter(by_source), self._sources[0].number)
        source = next((each for each in self._sources if each.number == number), self._sources[0])
        arriving.only = None
        locked = arriving.file.sha256
        arriving.refuse(source, f"has another file of that name: sha256 {found}, the lock has {locked}")
        self._remark(f"{source.name} gave wrong bytes for {arriving.file.path}")
        if self._next_source(arriving) is None:
            raise self._unavailable(arriving.file, arriving)

    def _drop(self, arriving: Arriving, keep: int | None) -> None:
        self._count(-arriving.part.drop(keep=keep))
        arriving.digest.restart()

    # ---- reports

    def _count(self, count: int, source: Source | None = None) -> None:
        if not count:
            return
        if source is not None:
            source.count(count)
        self._progress.advance(self._task, count)

    def _remark(self, text: str) -> None:
        if text not in self._remarks and len(self._remarks) < 20:
            self._remarks.append(text)

    def _give_up(self) -> None:
        """Fail because no source is left for any file."""
        if not self._failed:
            file = next(self._todo.waiting(), self._model.files[0])
            self._failed.append(self._unavailable(file))
        self._todo.clear()

    def _unavailable(self, file: ModelFile, arriving: Arriving | None = None) -> FetchError:
        answers, asked = (arriving.answers, arriving.refused) if arriving else ([], {})
        others = [source for source in self._sources if source.dead is not None and source.number not in asked]
        detail = "\n".join([*answers, *(f"{source.name}: {source.dead}" for source in others)])
        denied = next((source for source in self._sources if source.denied), None)
        if denied is not None:
            error = denied.denial()
            return FetchError(
                f"{error.message} (for {denied.denied})", where=error.where, detail=detail, hint=error.hint
            )  # fmt: skip
        offline = all(source.dead is not None for source in self._sources)
        remedies = "".join(f"{source.remedy}; " for source in self._sources if source.remedy)
        return FetchError(
            f"cannot get {file.path} of {self._model.name}",
            detail=detail,
            hint=remedies + "check the network and the proxy settings, or name a hub that can be reached (HF_ENDPOINT, "
            "MODELSCOPE_ENDPOINT, --source); the downloaded data is kept"
            if offline
            else remedies + "run the command again, or use another hub (--source), or lock again: devenv lock "
            "--upgrade model. The downloaded data is kept",
        )
