"""The Docker volume of a model: visible to the user, backed by the store's folder, shared by all environments."""

from __future__ import annotations

from pathlib import Path

from devenv.engine import LABEL, Engine
from devenv.errors import EngineError
from devenv.lock.model import LockedModel

PREFIX = "devenv-model-"  # as in the plan


def name(key: str) -> str:
    """The volume of a model."""
    return PREFIX + key


def ensure(model: LockedModel, folder: Path, engine: Engine) -> str:
    """The model's volume, made unless it is there; its name. Raises EngineError when it holds another folder."""
    volume = name(model.key)
    held = engine.volume_folder(volume)
    if held is not None and held != str(folder):
        users = users_of(model.key, engine)
        if users:
            raise EngineError(
                f"the volume {volume} holds {held or 'a folder of the engine'}, and {', '.join(users)} uses it",
                hint=f"the store of weights moved? Either name the old one (--weights-dir), or: devenv down {users[0]}",
            )
        engine.remove_volume(volume)
    engine.ensure_volume(
        volume, {f"{LABEL}model": model.key, f"{LABEL}model.digest": model.digest}, folder=str(folder)
    )  # fmt: skip
    return volume


def users_of(key: str, engine: Engine) -> tuple[str, ...]:
    """The containers, running or not, that have the model mounted: environments by name, others by their own."""
    return tuple(one.labels.get(f"{LABEL}name") or one.name for one in engine.containers_with(name(key)))


def remove(key: str, engine: Engine) -> None:
    """Remove the volume; the store's folder is not touched."""
    engine.remove_volume(name(key))
