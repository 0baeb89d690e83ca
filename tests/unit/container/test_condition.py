from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv import cli
from devenv.container import condition, labels
from devenv.container.state import Environment, environment
from devenv.doors.docker.engine import Engine, labels_json
from devenv.doors.docker.values import ContainerFacts
from devenv.errors import EngineError, NotReadyError
from devenv.plan.inside import PlannedService
from tests.unit.container.test_owner import facts

SERVICE = PlannedService(
    name="ide", command=("x",), port=None, auth="none", listen=None, url="/", health_path=None, health_status=200,
    env=(), timeout_s=1,
)  # fmt: skip
STATES = ("created", "paused", "restarting", "removing", "exited", "dead")


class OneContainer(Engine):
    """An engine with one container, which obeys as the real one does; `acts` is what was asked for."""

    def __init__(self, made: ContainerFacts, *, looks: int = 3, stuck: bool = False) -> None:
        self.made: ContainerFacts | None = made
        self.acts: list[str] = []
        self.looks = looks
        self.stuck = stuck

    def container(self, name: str) -> ContainerFacts | None:
        self.looks -= 1
        if self.made and self.made.state == "removing" and self.looks < 0:
            self.made = None
        return self.made if self.made and self.made.name == name else None

    def containers(self, label: str) -> tuple[ContainerFacts, ...]:
        return (self.made,) if self.made else ()

    def volumes(self, label: str) -> tuple[()]:
        return ()

    def networks(self, **_: str) -> tuple[()]:
        return ()

    def _now(self, act: str, state: str) -> None:
        self.acts.append(act)
        assert self.made is not None
        self.made = dataclasses.replace(self.made, state=state)

    def unpause(self, name: str) -> None:
        self._now("unpause", "running")

    def stop(self, name: str, *, timeout_s: int = 10) -> None:
        self._now("stop", "exited")

    def remove(self, name: str) -> None:
        if self.stuck:
            raise EngineError("driver failed to remove root filesystem")
        self.acts.append("remove")
        self.made = None


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(condition, "_EVERY_S", 0)
    environment("demo", tmp_path / "devenv/envs").token()
    return tmp_path / "devenv/envs/demo"


def made(folder: Path | str, status: str) -> ContainerFacts:
    return dataclasses.replace(facts("demo", str(folder)), state=status)


@pytest.mark.parametrize(
    ("status", "acts", "then"),
    [
        ("created", [], "created"),
        ("running", [], "running"),
        ("paused", ["unpause"], "running"),
        ("restarting", ["stop"], "exited"),
        ("removing", [], None),
        ("exited", [], "exited"),
        ("dead", ["remove"], None),
    ],
)
def test_every_state_becomes_one_that_can_be_gone_on_with(
    status: str, acts: list[str], then: str | None, state: Path
) -> None:
    engine = OneContainer(made(state, status))
    said: list[str] = []
    one = condition.settled(labels.describe(made(state, status)), engine, said.append)
    assert engine.acts == acts
    assert (one and one.facts.state) == then
    assert len(said) == (status in ("paused", "restarting", "removing", "dead")), "what is changed is said"


def test_what_the_engine_cannot_remove_is_said_with_the_remedy(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="cannot remove the dead container devenv-demo") as told:
        condition.remove(labels.describe(made(state, "dead")), OneContainer(made(state, "dead"), stuck=True))
    assert "root filesystem" in str(told.value.detail)
    monkeypatch.setattr(condition, "_WAIT_S", -1)
    with pytest.raises(NotReadyError, match="still removing"):
        condition.remove(labels.describe(made(state, "removing")), OneContainer(made(state, "removing")))


@pytest.mark.parametrize("status", STATES)
def test_state_and_remedy_are_shown(
    status: str, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("devenv.doors.docker.engine.connect", lambda _: OneContainer(made(state, status)))
    assert cli.run(["exec", "--name", "demo", "true"]) == 9
    told = capsys.readouterr().err
    assert f"is not running ({status})" in told
    remedy = "devenv up" if status in ("dead", "removing") else "devenv start demo"
    assert remedy in told
    assert cli.run(["status", "demo"]) == 0
    assert remedy in capsys.readouterr().out
    assert cli.run(["ps", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["state"], remedy in row["remedy"]) == (status, True)


@pytest.mark.parametrize("status", ["removing", "dead"])
def test_what_cannot_be_started_is_not_tried(
    status: str, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = OneContainer(made(state, status), looks=99)
    monkeypatch.setattr("devenv.doors.docker.engine.connect", lambda _: engine)
    assert cli.run(["start", "demo"]) == 9
    assert f"it is {status}" in (told := capsys.readouterr().err)
    assert "devenv up" in told
    assert cli.run(["stop", "demo"]) == 0
    assert "devenv up" in capsys.readouterr().err
    assert engine.acts == []


@pytest.mark.parametrize("status", ["paused", "restarting"])
def test_down_stops_what_has_programs(status: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OneContainer(made(state, status))
    monkeypatch.setattr("devenv.doors.docker.engine.connect", lambda _: engine)
    assert cli.run(["down", "demo"]) == 0
    assert engine.acts == ["stop", "remove"]


@pytest.mark.parametrize(
    ("status", "command", "act"),
    [
        ("running", ["stop", "demo"], "stop"),
        ("running", ["down", "demo"], "stop"),
        ("running", ["restart", "demo", "ide"], "exec"),
        ("paused", ["start", "demo"], "unpause"),
    ],
)
def test_what_changes_an_environment_holds_it(
    status: str, command: list[str], act: str, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[str] = []

    @contextlib.contextmanager
    def locked(self: Environment, *_: object) -> Iterator[None]:
        held.append(self.name)
        try:
            yield
        finally:
            held.clear()

    class Strict(OneContainer):
        def __getattribute__(self, name: str) -> Any:
            if name == act and not held:
                raise AssertionError("another devenv command may be at work on it")
            return super().__getattribute__(name)

        def attach(self, name: str) -> Iterator[str]:
            return iter(())

        def exec(self, *_: object, **__: object) -> tuple[int, str, str]:
            self.acts.append("exec")
            return 1, "", ""

    one = made(state, status)
    labels = {**one.labels, "dev.devenv.services": labels_json([dataclasses.asdict(SERVICE)])}
    engine = Strict(dataclasses.replace(one, labels=labels))
    monkeypatch.setattr("devenv.doors.docker.engine.connect", lambda _: engine)
    monkeypatch.setattr(Environment, "locked", locked)
    cli.run(command)
    assert act in engine.acts
    assert held == []


def test_one_that_runs_and_lost_its_network_has_a_remedy_and_no_service_of_it_is_waited_for(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_off = dataclasses.replace(made(state, "running"), is_cut_off=True)
    monkeypatch.setattr("devenv.doors.docker.engine.connect", lambda _: OneContainer(cut_off))
    assert "devenv start demo" in (condition.remedy(labels.describe(cut_off)) or "")
    assert cli.run(["restart", "demo", "ide"]) == NotReadyError.exit_code
    assert "disconnected from its network; devenv start demo" in capsys.readouterr().err
