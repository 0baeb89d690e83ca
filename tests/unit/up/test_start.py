"""Which containers can be started again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from devenv.checks import readiness
from devenv.container.environments import Environments
from devenv.errors import NotReadyError
from devenv.up import start as room
from devenv.up.session import Session
from devenv.up.start import start
from tests.unit import handmade
from tests.unit.container.test_condition import OneContainer, made
from tests.unit.container.test_devcontainer import TOKEN, Engine
from tests.unit.container.test_devcontainer import made as client_made


def _both(tmp_path: Path, status: str) -> tuple[Environments, Session, OneContainer]:
    engine = OneContainer(made(tmp_path / "envs/demo", status))
    session = handmade.session(handmade.settings(tmp_path), engine)
    return Environments(engine=session.engine, folder=tmp_path / "envs"), session, engine


@pytest.mark.parametrize(("status", "cached"), [("exited", False), ("paused", True), ("running", True)])
def test_a_container_is_woken_and_waited_for(
    status: str, cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts: list[str] = []
    monkeypatch.setattr(room, "wake", lambda one, *_, **__: acts.append(f"wake {one.facts.state}"))
    for name in ("wait_up", "wait_ready"):
        monkeypatch.setattr(readiness, name, lambda *_, name=name, **__: acts.append(name))
    monkeypatch.setattr(readiness, "states", lambda *_: {})
    environments, session, _ = _both(tmp_path, status)
    token = environments.state("demo").token()
    one, known = start("demo", environments, session)
    assert (one.name, known) == ("demo", token)
    assert acts == [f"wake {'exited' if status == 'exited' else 'running'}", "wait_up", "wait_ready"]
    assert [(stage.name, stage.cached) for stage in session.stages.reports()] == [("boot", cached), ("ready", False)]


@pytest.mark.parametrize("status", ["dead", "removing"])
def test_one_that_only_up_can_continue_is_left_alone(status: str, tmp_path: Path) -> None:
    environments, session, engine = _both(tmp_path, status)
    environments.state("demo").token()
    with pytest.raises(NotReadyError, match=f"demo cannot be started: it is {status}") as error:
        start("demo", environments, session)
    assert "devenv up" in (error.value.hint or "")
    assert engine.acts == []


def test_without_its_token_nothing_is_started(tmp_path: Path) -> None:
    environments, session, engine = _both(tmp_path, "exited")
    with pytest.raises(NotReadyError, match="the token does not exist"):
        start("demo", environments, session)
    assert engine.acts == []


def test_a_container_whose_run_is_cut_off_is_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wait_up", "wait_ready"):
        monkeypatch.setattr(readiness, name, lambda *_, **__: None)
    monkeypatch.setattr(readiness, "states", lambda *_: {})
    woken: list[Any] = []
    monkeypatch.setattr(room, "wake", lambda one, *_, **__: woken.append(one.facts.is_cut_off))
    environments, session, engine = _both(tmp_path, "running")
    assert engine.made
    engine.made = dataclasses.replace(engine.made, is_cut_off=True)
    environments.state("demo").token()
    start("demo", environments, session)
    assert woken == [True]
    assert session.stages.reports()[0].cached is False


def test_a_dev_container_is_waited_for_with_the_token_and_the_ports_of_this_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine((dataclasses.replace(client_made(tmp_path), state="exited", ports=()),))
    session = handmade.session(handmade.settings(tmp_path), engine)
    environments = Environments(engine=session.engine, folder=tmp_path / "envs")

    def boot(*_: Any, **__: Any) -> None:
        engine.made["quiet_ada"] = client_made(tmp_path)

    waited: list[Any] = []
    monkeypatch.setattr(room, "wake", boot)
    monkeypatch.setattr(readiness, "wait_up", lambda *_: None)
    monkeypatch.setattr(readiness, "wait_ready", lambda one, token, *_, **__: waited.append((one.facts.ports, token)))
    one, token = start("quiet_ada", environments, session)
    assert (one.name, token) == ("quiet_ada", TOKEN)
    assert waited == [(((8443, 49001),), TOKEN)]
