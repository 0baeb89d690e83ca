"""What a box lacks of a lock, sent from this machine: for a box that reaches no mirror, or fewer than this one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from devenv.doors import files
from devenv.doors.dirs import Dirs
from devenv.doors.terminal.progress import Progress
from devenv.errors import DevenvError
from devenv.fetch.store import Store
from devenv.lock.files import lock_path
from devenv.lock.model import Artifact, Lock, LockedModel
from devenv.lock.model import read as read_lock
from devenv.preset.load import LoadedPreset, find, load
from devenv.remote.talk.session import Session
from devenv.weights.store import Weights

TASK, WEIGHTS = "locked files", "weights"
AT_ONCE_BYTES = 64 << 20
"""So much is sent before the box tries its own mirrors, which may be much nearer to it than this machine."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A preset and its lock, as they are here."""

    loaded: LoadedPreset
    lock: Lock


def locked(word: str | None, cwd: Path, dirs: Dirs) -> Locked | None:
    """The preset that a word means here, with its lock; None where there is none, or it has a mistake: the box finds
    that itself."""
    try:
        loaded = load(find(word, cwd))
        path = lock_path(loaded, dirs)
        return Locked(loaded=loaded, lock=read_lock(path)) if files.is_there(path) else None
    except (DevenvError, OSError):
        return None


def missing(session: Session, lock: Lock) -> tuple[Artifact, ...]:
    """What the box has not of a lock. Raises TargetError."""
    every = lock.artifacts()
    data = "".join(f"{one.sha256} {one.size}\n" for one in every).encode()
    session.ask({"op": "missing"}, (data,), len(data))
    _, answer = session.answer()
    lacking = set(answer.decode("ascii", "replace").split())
    return tuple(one for one in every if one.sha256 in lacking)


def send(session: Session, artifacts: Iterable[Artifact], store: Store, progress: Progress) -> int:
    """Send files that are here; the box verifies their hashes. Returns their number. Raises TargetError."""
    every = [one for one in artifacts if store.has(one)]
    progress.start(TASK, sum(one.size for one in every))
    try:
        for one in every:
            header = {"op": "store", "file": one.file, "sha256": one.sha256, "size": one.size}
            session.ask(header, _chunks(store.path(one.sha256), progress, TASK), one.size)
            session.answer()
    finally:
        progress.finish(TASK)
    return len(every)


def send_weights(session: Session, model: LockedModel, store: Weights, progress: Progress) -> int:
    """Send what the box lacks of a model that is complete here; the box verifies each file. Returns the number of
    files. Raises TargetError."""
    data = model.model_dump_json().encode()
    session.ask({"op": "model"}, (data,), len(data))
    _, answer = session.answer()
    lacking = set(answer.decode(errors="replace").splitlines())
    files_ = [file for file in model.files if file.path in lacking]
    progress.start(WEIGHTS, sum(file.size for file in files_))
    try:
        for file in files_:
            chunks = _chunks(store.folder(model.key) / file.path, progress, WEIGHTS)
            session.ask({"op": "weight", "path": file.path}, chunks, file.size)
            session.answer()
    finally:
        progress.finish(WEIGHTS)
    return len(files_)


def at_once(artifacts: Sequence[Artifact], store: Store, *, all_of_them: bool) -> tuple[Artifact, ...]:
    """What is sent before the box tries by itself: what is here, if it is little or the user named folders."""
    here = tuple(one for one in artifacts if store.has(one))
    return here if all_of_them or sum(one.size for one in here) <= AT_ONCE_BYTES else ()


def _chunks(path: Path, progress: Progress, task: str) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        for chunk in files.chunks(path):
            progress.advance(task, len(chunk))
            yield chunk
