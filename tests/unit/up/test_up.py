"""What `up` does with the container that is there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.checks import readiness
from devenv.container import container as boot
from devenv.container.state import environment
from devenv.up.up import wake
from tests.unit.container.test_network import FakeEngine
from tests.unit.container.test_owner import facts


@pytest.mark.parametrize(
    ("state", "cut_off", "acts"),
    [
        ("running", True, ["stop", "connect", "start"]),
        ("exited", True, ["connect", "start"]),
        ("running", False, []),
    ],
)
def test_a_container_that_lost_its_network_is_started_again_on_a_new_one(
    state: str, cut_off: bool, acts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "Watch", lambda *_, **__: "watch")
    env, engine, notes = environment("demo", tmp_path), FakeEngine(), list[str]()
    session: Any = SimpleNamespace(engine=lambda: engine, stages=SimpleNamespace(note=notes.append), cancel=None)
    for act in ("stop", "start"):
        monkeypatch.setattr(engine, act, lambda name, act=act, **_: engine.acts.append((act, name)), raising=False)
    made = dataclasses.replace(
        facts("demo", str(env.folder)), state=state, network="devenv-demo", is_cut_off=cut_off
    )  # fmt: skip
    assert wake(boot.describe(made), env, session)
    assert [act[0] for act in engine.acts] == acts
    assert len(notes) == cut_off
