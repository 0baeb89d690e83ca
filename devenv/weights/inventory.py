"""The models of the store: the environments that use them, and their files, read again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from devenv.errors import EngineError
from devenv.lock.model import ModelFile
from devenv.weights.store import Stored, Weights

if TYPE_CHECKING:
    from devenv.doors.docker.engine import Engine
    from devenv.doors.terminal.stages import Stages


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model, and the containers that use it: None where no engine answers."""

    stored: Stored
    used_by: tuple[str, ...] | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WrongFile:
    """A file of the model `key` whose content does not fit the lock, and what is wrong with it."""

    key: str
    file: ModelFile
    why: str


def listed(store: Weights, engine: Callable[[], Engine]) -> tuple[Listed, ...]:
    """Every model, finished or not. `engine` may raise EngineError."""
    return tuple(Listed(stored=stored, used_by=_users(stored.model.key, engine)) for stored in store.every())


def reread(
    store: Weights, stages: Stages, *, name: str | None = None
) -> tuple[tuple[Stored, ...], tuple[WrongFile, ...]]:
    """Read every file of the model `name`, or of all models, again: the models, and the wrong files, which the next
    fetch downloads. Raises UsageError for an unknown model."""
    chosen = (store.named(name),) if name else store.every()
    wrong: list[WrongFile] = []
    for stored in chosen:
        key = stored.model.key
        with stages.stage("verify") as stage:
            stage.message(key)
            stage.start("verify", stored.model.size)
            with store.only(key, lambda: None):
                found = store.rehash(stored.model, lambda count, stage=stage: stage.advance("verify", count))  # type: ignore[misc]
            stage.failed = bool(found)
        wrong += [WrongFile(key=key, file=file, why=why) for file, why in found]
    return chosen, tuple(wrong)


def _users(key: str, engine: Callable[[], Engine]) -> tuple[str, ...] | None:
    from devenv.weights import volume

    try:
        return volume.users_of(key, engine())
    except EngineError:
        return None
