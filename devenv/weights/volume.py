"""The Docker volume of a model: visible to the user, backed by the store's folder, shared by all environments."""

from __future__ import annotations

from pathlib import Path

from devenv.container.names import is_name
from devenv.doors.docker.engine import LABEL, Engine
from devenv.errors import EngineError
from devenv.lock.model import LockedModel

PREFIX = "devenv-model-"  # as in the plan


def name(key: str) -> str:
    """The volume of a model."""
    return PREFIX + key


def check(model: LockedModel, folder: Path, engine: Engine, *, own: str = "") -> bool:
    """Whether the model's volume is there and holds that folder. Raises EngineError when it holds another one that may
    not be taken from it: another environment than `own` uses it, or it is not ours."""
    volume = name(model.key)
    facts = engine.volume(volume)
    if facts is None:
        return False
    held, labels = facts
    if held and Path(held).resolve() == folder.resolve():
        return True
    if f"{LABEL}model" not in labels:
        raise EngineError(
            f"devenv did not make the volume {volume}",
            hint=f"if nobody needs its data, remove it: docker volume rm {volume}",
        )
    users = [user for user in users_of(model.key, engine) if user != own]
    if users:
        raise EngineError(
            f"the volume {volume} holds {held or 'a folder of the engine'}, and {', '.join(users)} uses it",
            hint=f"if the store of weights moved, name the old one: --weights-dir; or run: devenv down {users[0]}",
        )
    return False


def ensure(model: LockedModel, folder: Path, engine: Engine, *, own: str = "") -> str:
    """The model's volume, made unless it is there; its name. A volume of devenv's with another folder is made again,
    with the container of `own` where that has it. Raises EngineError as `check` does."""
    volume = name(model.key)
    if not check(model, folder, engine, own=own):
        for container in engine.containers_with(volume):
            engine.remove(container.name)
        engine.remove_volume(volume)
        engine.ensure_volume(
            volume, {f"{LABEL}model": model.key, f"{LABEL}model.digest": model.digest}, folder=str(folder)
        )  # fmt: skip
    return volume


def users_of(key: str, engine: Engine) -> tuple[str, ...]:
    """The containers, running or not, that have the model mounted: environments by name, others by their own."""
    labelled = [
        (container.labels.get(f"{LABEL}name", ""), container.name) for container in engine.containers_with(name(key))
    ]
    return tuple(label if is_name(label) else own for label, own in labelled)


def remove(key: str, engine: Engine) -> None:
    """Remove the volume; the store's folder is not touched."""
    engine.remove_volume(name(key))
