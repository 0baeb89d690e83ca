"""The store of weights: a folder for each model, stamps that make the next check cheap, unfinished files beside."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from devenv.doors import atomic, files
from devenv.doors.file_lock import hold
from devenv.doors.untrusted import from_json
from devenv.errors import FetchError, UsageError
from devenv.fetch.store import hash_file
from devenv.lock.model import LockedModel, ModelFile, ModelSource

_STATE_BYTES = 32 << 20
Looks = tuple[int, int, int]
"""A file's size, mtime (ns) and inode: its state without reading it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One model of the store. `complete`: every file is there with its stamp; `confirmed`: the sources that are known
    to have this very content."""

    model: LockedModel
    folder: Path
    complete: bool
    bytes: int
    confirmed: tuple[ModelSource, ...] = ()


class Weights:
    """`models/KEY` holds a model's files and nothing else; `state/KEY.json` describes them, `state/KEY.stamps`
    records the verified ones and their state then; `part/KEY` has unfinished files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: str) -> Path:
        """Where the model's files are: what environments mount."""
        return self.root / "models" / key

    def parts(self, key: str) -> Path:
        """Where its unfinished files are."""
        return self.root / "part" / key

    def missing(self, model: LockedModel) -> tuple[ModelFile, ...]:
        """The files that are missing, or changed since they were verified. Reads no file's content."""
        stamps, folder = self._stamps(model.key), str(self.folder(model.key))
        return tuple(
            file for file in model.files if (known := stamps.get(file.path)) is None
            or known != (file.sha256, looks(f"{folder}/{file.path}")) or known[1][0] != file.size
        )  # fmt: skip

    def present(self, model: LockedModel) -> bool:
        """Whether the model is complete."""
        return not self.missing(model)

    def know(self, model: LockedModel) -> None:
        """Record another name of the same content, from another preset, for `weights serve`."""
        known = self.find(model.key)
        if known is None or any(source not in known.sources for source in model.sources):
            with contextlib.suppress(OSError):  # a read-only store works as well
                self._write_down(model)

    def begin(self, model: LockedModel) -> None:
        """Make its folders and record the model. Raises FetchError."""
        try:
            for folder in (self.folder(model.key), self.parts(model.key), self.root / "state"):
                folder.mkdir(parents=True, exist_ok=True)
            self._write_down(model)
            for left in self.parts(model.key).iterdir():  # left by a kill; the file is copied again
                if left.suffix not in ("", ".map"):
                    left.unlink()
        except OSError as error:
            raise self.failed(error) from None

    def _write_down(self, model: LockedModel) -> None:
        """One content may be known to several hubs and revisions: each preset adds its own."""
        path, known = self._manifest(model.key), self.find(model.key)
        more = tuple(source for source in (known.sources if known else ()) if source not in model.sources)
        text = json.dumps(model.model_copy(update={"sources": (*model.sources, *more)}).model_dump(mode="json"))
        if _text(path) != text:
            atomic.write(path, text)

    def confirmed(self, key: str) -> tuple[ModelSource, ...]:
        """The sources that are known to have this content: their bytes or their listing matched it.
        A lock alone proves nothing."""
        try:
            rows = from_json(files.read_text(self.root / "state" / f"{key}.confirmed"))
            return tuple(ModelSource.model_validate(row) for row in rows)
        except (OSError, ValueError, TypeError):
            return ()

    def confirm(self, key: str, source: ModelSource) -> None:
        """Record that this source has this content."""
        known = self.confirmed(key)
        if source not in known:
            path = self.root / "state" / f"{key}.confirmed"
            atomic.write(path, json.dumps([confirmed.model_dump() for confirmed in (*known, source)]))

    def failed(self, error: OSError) -> FetchError:
        """The error of a store that cannot be written."""
        return FetchError(
            f"cannot write the store of weights: {error.strerror or error}",
            where=str(self.root),
            hint="free some space there, or put it elsewhere: --weights-dir, DEVENV_WEIGHTS_DIR, or "
            "'weights: {dir: …}' in devenv's config.yaml",
        )

    def put(self, model: LockedModel, file: ModelFile, verified: Path, known: Looks | None = None) -> None:
        """Move a verified file to its place, then write its stamp: its state when its content was `known`."""
        target = self.folder(model.key) / file.path
        facts = verified.stat()
        known = known or _looks(facts)
        if facts.st_nlink == 1:  # a hard link shares its mode with the cache
            verified.chmod(0o444)
        try:
            verified.replace(target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            verified.replace(target)
        self.stamp(model.key, file, known)

    def stamp(self, key: str, file: ModelFile, known: Looks | None) -> None:
        """Record a file's hash, and its state when it was verified."""
        line = json.dumps([file.path, *(known or (0, 0, 0)), file.sha256]) + "\n"
        with self._stamp_file(key).open("ab", buffering=0) as stamps:
            stamps.write(line.encode())

    @contextlib.contextmanager
    def only(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the model, so that two runs fetch it once; calls `waiting` when another run holds it."""
        try:
            (self.root / "state").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.failed(error) from None
        with hold(self.root / "state" / f"{key}.lock", waiting):
            yield

    @contextlib.contextmanager
    def used(self, key: str) -> Iterator[None]:
        """Keep the model from being removed; several may at once. The kernel frees it when the holder dies."""
        path = self.root / "state" / f"{key}.use"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = path.open("a")
        except OSError:  # nothing is removed from a read-only store
            yield
            return
        with handle:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def unused(self, key: str) -> Iterator[None]:
        """Hold the model for removing it. Raises UsageError when an `up` is about to use it."""
        with (self.root / "state" / f"{key}.use").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"a 'devenv up' is about to use {key}", hint="wait until it is done; see: devenv ps"
                ) from None
            yield

    def find(self, key: str) -> LockedModel | None:
        """The known facts about a model of the store."""
        try:
            model = LockedModel.model_validate(from_json(_text(self._manifest(key)) or ""))
        except ValueError:
            return None
        return model if model.key == key else None

    def every(self, *, but: str = "") -> tuple[Stored, ...]:
        """All models, finished or not; `but`: the key of one that is left out."""
        found = []
        for path in sorted((self.root / "state").glob("*.json")):
            model = self.find(path.stem) if path.stem != but else None
            if model is not None:
                here = {file.path for file in model.files} - {file.path for file in self.missing(model)}
                found.append(
                    Stored(
                        model=model, folder=self.folder(path.stem), complete=len(here) == len(model.files),
                        bytes=sum(file.size for file in model.files if file.path in here),
                        confirmed=self.confirmed(path.stem),
                    )
                )  # fmt: skip
        return tuple(found)

    def named(self, name: str) -> Stored:
        """The model of that key, name or hub id. Raises UsageError."""
        every = self.every()
        found = [
            stored for stored in every
            if name in {stored.model.key, stored.model.name, *(source.id for source in stored.model.sources)}
        ]  # fmt: skip
        if len(found) == 1:
            return found[0]
        keys = ", ".join(stored.model.key for stored in (found or every)) or "none"
        raise UsageError(
            f"{name!r} is more than one model: {keys}" if found else f"unknown model {name!r}; models here: {keys}",
            hint="devenv weights list",
        )

    def rehash(
        self, model: LockedModel, on_bytes: Callable[[int], None] = lambda _: None
    ) -> tuple[tuple[ModelFile, str], ...]:
        """Read every file again; returns the wrong ones with the fault. Their stamps are removed."""
        from concurrent.futures import ThreadPoolExecutor

        known: dict[str, Looks] = {}

        def one(file: ModelFile) -> str | None:
            path = self.folder(model.key) / file.path
            before = looks(str(path))
            try:
                found = hash_file(path)
            except OSError as error:
                return error.strerror or str(error)
            on_bytes(file.size)
            if before is None or before != looks(str(path)):
                return "it changed while it was read"
            known[file.path] = before
            return None if found == file.sha256 else f"sha256 is {found[:12]}…, the lock has {file.sha256[:12]}…"

        with ThreadPoolExecutor(hash_jobs(), thread_name_prefix="verify") as pool:
            reasons = list(pool.map(one, model.files))
        wrong = tuple((file, why) for file, why in zip(model.files, reasons, strict=True) if why is not None)
        right = [file for file, why in zip(model.files, reasons, strict=True) if why is None]
        self._write_stamps(model.key, {file.path: (file.sha256, known[file.path]) for file in right})
        return wrong

    def tidy_stamps(self, model: LockedModel) -> None:
        """Keep one stamp for each file, as it was recorded. No file is checked."""
        stamps = self._stamps(model.key)
        self._write_stamps(model.key, {file.path: stamps[file.path] for file in model.files if file.path in stamps})

    def _write_stamps(self, key: str, stamps: Mapping[str, tuple[str, Looks]]) -> None:
        rows = (json.dumps([name, *known, sha256]) + "\n" for name, (sha256, known) in stamps.items())
        atomic.write(self._stamp_file(key), "".join(rows))

    def remove(self, key: str) -> None:
        """Remove a model; first the stamps, which mark it as complete."""
        self._stamp_file(key).unlink(missing_ok=True)
        for folder in (self.folder(key), self.parts(key)):
            shutil.rmtree(folder, ignore_errors=True)
        if any(folder.exists() for folder in (self.folder(key), self.parts(key))):
            raise UsageError(
                f"cannot remove all of {self.folder(key)}",
                hint="another user may own files in it: remove them as that user, and run the command again",
            )
        (self.root / "state" / f"{key}.confirmed").unlink(missing_ok=True)
        self._manifest(key).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """The free disk space of the store."""
        path = self.root
        while not path.exists():
            path = path.parent
        facts = os.statvfs(path)
        return facts.f_bavail * facts.f_frsize

    def _manifest(self, key: str) -> Path:
        return self.root / "state" / f"{key}.json"

    def _stamp_file(self, key: str) -> Path:
        return self.root / "state" / f"{key}.stamps"

    def _stamps(self, key: str) -> dict[str, tuple[str, Looks]]:
        found: dict[str, tuple[str, Looks]] = {}
        for line in (_text(self._stamp_file(key)) or "").splitlines():
            # A line that a kill cut off is not a stamp: that file is checked again.
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                path, size, mtime, inode, sha256 = json.loads(line)
                found[path] = (sha256, (size, mtime, inode))
        return found


def _text(path: Path) -> str | None:
    """A file of the store's own state; None when it cannot be read."""
    try:
        return files.read_text(path, most_bytes=_STATE_BYTES)
    except OSError:
        return None


def hash_jobs() -> int:
    """How many files are hashed at once."""
    return min(os.cpu_count() or 1, 8)


def looks(path: str) -> Looks | None:
    """The file's present state; None when it does not exist."""
    try:
        return _looks(os.stat(path))  # noqa: PTH116 - asked for thousands of files
    except OSError:
        return None


def _looks(facts: os.stat_result) -> Looks:
    return facts.st_size, facts.st_mtime_ns, facts.st_ino
