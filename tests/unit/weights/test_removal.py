"""Which models may be removed."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.errors import UsageError
from devenv.lock.model import LockedModel
from devenv.weights.removal import remove
from devenv.weights.store import Weights
from tests.unit.weights.conftest import Engine


def _remove(store: Weights, engine: Any, *names: str) -> tuple[tuple[str, ...], list[str]]:
    notes: list[str] = []
    return remove(names, store, lambda: engine, note=notes.append), notes


def test_a_model_goes_with_its_volume_however_it_is_named(store: Weights, model: LockedModel) -> None:
    engine = Engine()
    assert _remove(store, engine, model.name, model.key) == ((model.key,), [f"{model.key} is removed"])
    assert engine.removed == [f"devenv-model-{model.key}"]
    assert store.every() == ()
    assert not store.folder(model.key).exists()


def test_a_model_that_an_environment_uses_stays(store: Weights, model: LockedModel) -> None:
    engine = Engine("demo", "other")
    with pytest.raises(UsageError, match="in use by demo, other") as error:
        _remove(store, engine, model.key)
    assert error.value.hint == "devenv down demo, then run the command again"
    assert engine.removed == []
    assert store.present(model)


def test_a_model_that_came_into_use_since_the_first_look_stays(store: Weights, model: LockedModel) -> None:
    looks = [(), ("demo",)]

    class Busy(Engine):
        def containers_with(self, volume: str) -> list[Any]:
            self.users = looks.pop(0)
            return super().containers_with(volume)

    with pytest.raises(UsageError, match="in use now"):
        _remove(store, Busy(), model.key)
    assert looks == []
    assert store.present(model)


def test_a_model_that_an_up_is_about_to_use_stays(store: Weights, model: LockedModel) -> None:
    with store.used(model.key), pytest.raises(UsageError, match="about to use"):
        _remove(store, Engine(), model.key)
    assert store.present(model)


def test_an_unknown_model_is_said_before_any_is_removed(store: Weights, model: LockedModel) -> None:
    with pytest.raises(UsageError, match="unknown model 'nope'"):
        _remove(store, Engine(), model.key, "nope")
    assert store.present(model)
