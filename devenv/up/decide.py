"""The first steps of the line: preset, lock (made, or completed where its model is needed), plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.errors import UsageError
from devenv.lock.files import lock_path, relocked_path
from devenv.lock.files import write as write_lock
from devenv.lock.model import Lock, LockedModel
from devenv.plan.plan import Plan, plan
from devenv.preset.load import LoadedPreset, load
from devenv.resolve.ensure import fits, locked
from devenv.up.session import Session

if TYPE_CHECKING:
    from devenv.build.delta import Delta
    from devenv.build.image import Image
    from devenv.resolve.pin_model import Recorded
    from devenv.up.weights import ModelFrom


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Preset, lock and plan of one run; `recorded` when this run completed the lock, and `place` is the lock's path."""

    loaded: LoadedPreset
    lock: Lock
    plan: Plan
    delta: Delta | None = None  # a snapshot's layer over the plan's image
    elsewhere: Callable[[Session], Image] | None = None  # brings the plan's image, which is not built then
    model_from: ModelFrom | None = None  # a place beside the hubs that may have the model's files
    check: Callable[[Decided, Image, Session], None] | None = None  # what a newly built image has to pass
    recorded: Recorded | None = None
    place: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DecidedModel:
    """A preset's locked model; `recorded` when this run completed the lock, whose path is `place`."""

    model: LockedModel
    recorded: Recorded | None
    place: Path


def decide(
    path: Path, session: Session, *, before_lock: Callable[[LoadedPreset], None] | None = None, told: str = ""
) -> Decided:
    """Preset and lock to plan. A user's own preset without a lock is locked first.

    `before_lock` may refuse a preset that has no lock yet, before anything is downloaded for it. `told` says where the
    preset is from, instead of its path.
    """
    with session.stages.stage("preset") as stage:
        loaded = load(path)
        stage.cached = True
        stage.message(f"{loaded.preset.name} ({told or loaded.path})")
    if not files.is_there(lock_path(loaded, session.dirs)):
        for words in fits(loaded, session.dirs.config):
            session.stages.note(f"warning: {words}")
        if before_lock:
            before_lock(loaded)
    with session.stages.stage("lock") as stage:
        lock, stage.cached = locked(loaded, lambda: session.resolving(stage), session.settings)
        stage.message(f"{len(lock.artifacts())} files")
    return Decided(loaded=loaded, lock=lock, plan=plan(loaded, lock))


def complete(loaded: LoadedPreset, lock: Lock, session: Session) -> tuple[Lock, Recorded | None, Path]:
    """The lock with its model recorded, when it is not pinned yet: from the hubs, with a note, and written to disk.

    Raises FetchError, LockError, UsageError.
    """
    place = relocked_path(loaded, session.dirs)
    if not lock.open:
        return lock, None, place
    from devenv.resolve.pin_model import complete as record

    with session.stages.stage("record") as stage:
        stage.message("asking the model's hubs which files it has")
        lock, recorded = record(
            lock, loaded.preset, place, settings=session.settings, store=session.store, asked=session.weight_sources
        )
        write_lock(lock, place)
        stage.message(recorded.model.key)
    for words in (f"{recorded.words()}; from now on it is verified against {place}", *recorded.remarks()):
        session.stages.note(words)
    return lock, recorded, place


def decide_model(path: Path, session: Session) -> DecidedModel:
    """The preset's model with all its files, after the preset was locked and the model recorded where needed.

    Raises UsageError for a preset without a model.
    """
    loaded = load(path)
    if loaded.preset.model is None:
        raise UsageError(
            f"the preset {loaded.preset.name} names no model", where=str(loaded.path),
            hint="'model: {huggingface: {id: …, revision: …}}' in the preset names one",
        )  # fmt: skip
    with session.stages.stage("lock") as stage:
        lock, stage.cached = locked(loaded, lambda: session.resolving(stage), session.settings)
    lock, recorded, place = complete(loaded, lock, session)
    assert lock.model is not None
    return DecidedModel(model=lock.model, recorded=recorded, place=place)


def completed(decided: Decided, session: Session) -> Decided:
    """The same run with its model recorded. The lock is in the image, so this comes before the image is made."""
    lock, recorded, place = complete(decided.loaded, decided.lock, session)
    if recorded is None:
        return decided
    return dataclasses.replace(
        decided, lock=lock, plan=plan(decided.loaded, lock), recorded=recorded, place=place
    )  # fmt: skip
