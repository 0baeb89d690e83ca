"""Memory and GPUs of an environment, as the engine and the driver count them."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.container import gpu, labels, usage
from devenv.doors.machine import gpu_usage
from tests.unit.container.test_owner import facts

DEVICES = tuple(
    gpu.Device(index=index, uuid=f"GPU-{index}", name="X", memory_bytes=80, capability="9.0", minor=index)
    for index in (0, 1)
)


@pytest.fixture
def running() -> labels.Running:
    return labels.describe(facts("demo", "/envs/demo"))


@pytest.mark.parametrize(
    ("stats", "bytes_"),
    [
        ({"memory_stats": {"usage": 100, "stats": {"inactive_file": 30}}}, 70),
        ({"memory_stats": {"usage": 100}}, 100),
        ({"memory_stats": {}}, None),
        ({}, None),
    ],
)
def test_memory_is_counted_without_the_page_cache(
    stats: dict[str, Any], bytes_: int | None, running: labels.Running
) -> None:
    engine: Any = SimpleNamespace(stats=lambda _: stats)
    assert usage.memory(running, engine) == bytes_


@pytest.mark.parametrize(("state", "pids"), [("running", {7}), ("exited", set())])
def test_a_gpu_that_the_driver_knows_has_its_use(
    state: str, pids: set[int], running: labels.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(uuids: list[str], own: frozenset[int]) -> list[gpu_usage.Usage]:
        assert (uuids, own) == (["GPU-0", "GPU-1"], pids)
        return [gpu_usage.Usage(uuid="GPU-1", used_bytes=20, own_bytes=5, utilisation_percent=50)]

    monkeypatch.setattr(gpu_usage, "usage", seen)
    engine: Any = SimpleNamespace(pids=lambda _: frozenset({7}))
    made = dataclasses.replace(running.facts, state=state)
    one = dataclasses.replace(running, facts=made, gpu=gpu.Access(mode="direct", devices=DEVICES))
    silent, known = usage.gpus(one, engine)
    assert (silent.used_bytes, silent.own_bytes, silent.busy_percent) == (None, None, None)
    assert (known.index, known.mode, known.used_bytes, known.own_bytes, known.busy_percent) == (1, "direct", 20, 5, 50)
    assert usage.gpus(running, engine) == ()
