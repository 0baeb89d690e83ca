"""What the store has: who uses it, and whether it is still right."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.doors.terminal.console import Console
from devenv.doors.terminal.stages import Stages
from devenv.errors import EngineError, UsageError
from devenv.lock.model import LockedModel
from devenv.weights.inventory import listed, reread
from devenv.weights.store import Weights
from tests.unit.weights.conftest import Engine


def test_each_model_is_listed_with_its_users(store: Weights, model: LockedModel) -> None:
    engine: Any = Engine("demo")
    (one,) = listed(store, lambda: engine)
    assert (one.stored.model.key, one.stored.complete, one.used_by) == (model.key, True, ("demo",))


def test_without_an_engine_the_users_are_not_known(store: Weights) -> None:
    def connect() -> Any:
        raise EngineError("no engine")

    (one,) = listed(store, connect)
    assert one.used_by is None


def test_a_changed_file_is_found_and_the_next_fetch_brings_it(store: Weights, model: LockedModel) -> None:
    stages = Stages(Console(live=False, colour=False, quiet=True))
    chosen, wrong = reread(store, stages)
    assert ([one.model.key for one in chosen], wrong) == ([model.key], ())
    changed = store.folder(model.key) / "a.bin"
    changed.chmod(0o644)
    changed.write_bytes(bytes(250))
    _, (found,) = reread(store, stages, name=model.name)
    assert (found.key, found.file.path) == (model.key, "a.bin")
    assert found.why.startswith("sha256 is ")
    assert [one.path for one in store.missing(model)] == ["a.bin"]
    assert [one.failed for one in stages.list] == [False, True]


def test_an_unknown_model_is_not_read(store: Weights) -> None:
    with pytest.raises(UsageError, match="unknown model"):
        reread(store, Stages(Console(live=False, colour=False, quiet=True)), name="nope")
