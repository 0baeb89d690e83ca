"""What a run acts on, decided: the preset, its lock (completed where its model is needed), the plan. And its doors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.doors.dirs import Dirs
from devenv.doors.docker.engine import Engine
from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.stages import Stages
from devenv.lock.files import lock_path, relocked_path
from devenv.lock.files import write as write_lock
from devenv.lock.model import Lock
from devenv.plan.plan import Plan, plan
from devenv.preset.load import LoadedPreset, load
from devenv.resolve.base_image import ImageFacts, look_into
from devenv.resolve.ensure import fits, locked

if TYPE_CHECKING:
    from devenv.fetch.store import Store
    from devenv.resolve.pin_model import Recorded


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What the line acts through. `engine` connects at its first call."""

    dirs: Dirs
    settings: Settings
    engine: Callable[[], Engine]
    stages: Stages
    carried: Mapping[str, str]  # this host's proxies and mirrors, for the container
    weight_sources: tuple[str, ...] = ()  # hubs to bring weights from, and no others

    @property
    def store(self) -> Store:
        """The artifact store."""
        from devenv.fetch.store import Store

        return Store(self.dirs.store)

    def image_facts(self, reference: str) -> ImageFacts:
        """What the lock must know of a base image; the engine pulls it when it is not here."""
        return look_into(reference, self.engine())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Preset, lock and plan of one run; `recorded` when this run completed the lock, and `place` where it lies."""

    loaded: LoadedPreset
    lock: Lock
    plan: Plan
    recorded: Recorded | None = None
    place: Path | None = None


def decide(path: Path, doors: Doors, *, before_lock: Callable[[LoadedPreset], None] | None = None) -> Decided:
    """Preset and lock to plan. A preset of the user's own is locked by itself the first time.

    `before_lock` may refuse a preset that has no lock yet, before anything is downloaded for it.
    """
    with doors.stages.stage("preset") as stage:
        loaded = load(path)
        stage.cached = True
        stage.message(f"{loaded.preset.name} ({loaded.path})")
    if not files.is_there(lock_path(loaded, doors.dirs)):
        for words in fits(loaded, doors.dirs.config):
            doors.stages.note(f"warning: {words}")
        if before_lock:
            before_lock(loaded)
    with doors.stages.stage("lock") as stage:
        lock, stage.cached = locked(
            loaded, dirs=doors.dirs, settings=doors.settings, store=doors.store, progress=stage,
            image_facts=doors.image_facts, note=doors.stages.note,
        )  # fmt: skip
        stage.message(f"{len(lock.artifacts())} files")
    return Decided(loaded=loaded, lock=lock, plan=plan(loaded, lock))


def complete(loaded: LoadedPreset, lock: Lock, doors: Doors) -> tuple[Lock, Recorded | None, Path]:
    """The lock with its model recorded, when it leaves it open: asked of the hubs, said in a line, and written down.

    Raises FetchError, LockError, UsageError.
    """
    place = relocked_path(loaded, doors.dirs)
    if not lock.open:
        return lock, None, place
    from devenv.resolve.pin_model import complete as record

    with doors.stages.stage("record") as stage:
        stage.message("asking the model's hubs which files it has")
        lock, recorded = record(
            lock, loaded.preset, place, settings=doors.settings, store=doors.store, asked=doors.weight_sources
        )
        write_lock(lock, place)
        stage.message(recorded.model.key)
    for words in (f"{recorded.words()}; from now on it is verified against {place}", *recorded.remarks()):
        doors.stages.note(words)
    return lock, recorded, place


def completed(decided: Decided, doors: Doors) -> Decided:
    """The same run with its model recorded. The lock is in the image, so this comes before the image is made."""
    lock, recorded, place = complete(decided.loaded, decided.lock, doors)
    if recorded is None:
        return decided
    return dataclasses.replace(
        decided, lock=lock, plan=plan(decided.loaded, lock), recorded=recorded, place=place
    )  # fmt: skip
