"""A container stands still for a moment, and continues whatever happens."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.doors import process
from devenv.doors.docker import pause
from devenv.doors.docker.address import Endpoint, Tls
from devenv.errors import EngineError


class Engine:
    """One container, in one state after the other; the last one stays until it is paused or resumed."""

    def __init__(self, *states: str, endpoint: Endpoint | None = None) -> None:
        self._states = list(states)
        self.did: list[str] = []
        self.endpoint = endpoint or Endpoint(address="unix:///x", tls=None)

    def container(self, _: str) -> Any:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return SimpleNamespace(state=state, id="abc") if state else None

    def pause(self, id_: str) -> None:
        self.did.append(f"pause {id_}")
        self._states = ["paused"]

    def unpause(self, id_: str) -> None:
        self.did.append(f"unpause {id_}")
        self._states = ["running"]


@pytest.fixture
def standby(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Sequence[str], str]]:
    """The programs that were made ready."""
    ready: list[tuple[Sequence[str], str]] = []

    @contextlib.contextmanager
    def beside(command: Sequence[str], told: str, keeps: Sequence[int]) -> Iterator[None]:
        # A later run waits for it: it has the lock too.
        assert [os.path.samestat(os.fstat(one), (tmp_path / "lock").stat()) for one in keeps] == [True]
        ready.append((command, told))
        yield
        ready.append((("done",), ""))

    monkeypatch.setattr(process, "standby", beside)
    return ready


def paused(engine: Any, folder: Path) -> contextlib.AbstractContextManager[None]:
    return pause.paused("devenv-x", engine, folder / "lock", lambda: pytest.fail("nobody else holds the lock"))


def test_a_running_container_is_paused_and_resumed(tmp_path: Path, standby: list[Any]) -> None:
    engine: Any = Engine("running")
    with paused(engine, tmp_path):
        assert engine.did == ["pause abc"]
        assert len(standby) == 1  # before it is paused
    assert engine.did == ["pause abc", "unpause abc"]
    assert standby[-1][0] == ("done",)


@pytest.mark.parametrize("state", ["paused", "exited", "created", "restarting", "dead", ""])
def test_one_in_another_state_stays_as_it_is(tmp_path: Path, standby: list[Any], state: str) -> None:
    engine: Any = Engine(state)
    with paused(engine, tmp_path):
        pass
    assert (engine.did, standby) == ([], [])


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_it_is_resumed_after_a_failure(tmp_path: Path, standby: list[Any], failure: type[BaseException]) -> None:
    engine: Any = Engine("running")
    with pytest.raises(failure), paused(engine, tmp_path):
        raise failure
    assert engine.did == ["pause abc", "unpause abc"]


def test_the_program_beside_knows_the_engine(tmp_path: Path, standby: list[Any]) -> None:
    tls = Tls(folder=Path("/keys"), verify=True)
    engine: Any = Engine("running", endpoint=Endpoint(address="tcp://h:1", tls=tls))
    with paused(engine, tmp_path):
        pass
    command, told = standby[0]
    assert command[-2:] == ["-m", "devenv.doors.docker.pause"]
    assert json.loads(told) == {"address": "tcp://h:1", "container": "abc", "tls": {"folder": "/keys", "verify": True}}


@pytest.mark.parametrize(("meanwhile", "works"), [("running", False), ("exited", True), ("", True)])
def test_one_that_somebody_else_resumed_is_told(
    tmp_path: Path, standby: list[Any], meanwhile: str, works: bool
) -> None:
    """Its files may have changed while they were read; one that ended changes no more."""
    engine: Any = Engine("running")
    expected = contextlib.nullcontext() if works else pytest.raises(EngineError, match="was resumed")
    with expected, paused(engine, tmp_path):
        engine._states = [meanwhile]
    assert engine.did == ["pause abc"]


def _beside(monkeypatch: pytest.MonkeyPatch, engine: Any, *lines: str) -> list[Endpoint]:
    """Run the program that stands by, with these lines of input."""
    asked: list[Endpoint] = []

    def connect(endpoint: Endpoint) -> Any:
        asked.append(endpoint)
        return engine

    monkeypatch.setattr(pause, "connect", connect)
    monkeypatch.setattr(pause, "_LOOK_EVERY_S", 0)
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    pause.main()
    return asked


TOLD = json.dumps({"address": "unix:///x", "tls": None, "container": "abc"})


def test_it_resumes_what_a_killed_run_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine("paused", "running")
    assert _beside(monkeypatch, engine, TOLD) == [Endpoint(address="unix:///x", tls=None)]
    assert engine.did == ["unpause abc"]


def test_it_waits_for_a_pause_that_the_engine_has_yet_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine("running", "running", "paused", "running")
    _beside(monkeypatch, engine, TOLD)
    assert engine.did == ["unpause abc"]


@pytest.mark.parametrize("lines", [(TOLD, "done"), (), ("",)])
def test_it_does_nothing_when_all_went_well(monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...]) -> None:
    engine = Engine("paused")
    assert _beside(monkeypatch, engine, *lines) == []
    assert engine.did == []


def test_it_ends_quietly_without_container_or_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine("")
    _beside(monkeypatch, engine, TOLD)

    def fail(_: str) -> None:
        raise EngineError("gone")

    monkeypatch.setattr(engine, "container", fail)
    _beside(monkeypatch, engine, TOLD)
    assert engine.did == []


@pytest.mark.parametrize(("failures", "works"), [(0, True), (4, True), (5, False)])
def test_a_busy_machine_may_need_several_tries(
    tmp_path: Path, standby: list[Any], monkeypatch: pytest.MonkeyPatch, failures: int, works: bool
) -> None:
    engine: Any = Engine("running")
    left = [EngineError("OCI runtime pause failed: unable to freeze")] * failures

    def freeze(_: str) -> None:
        if left:
            raise left.pop()
        engine._states = ["paused"]

    monkeypatch.setattr(pause, "_LOOK_EVERY_S", 0)
    monkeypatch.setattr(engine, "pause", freeze)
    with contextlib.nullcontext() if works else pytest.raises(EngineError), paused(engine, tmp_path):
        assert left == []
    assert engine.did == (["unpause abc"] if works else [])


def test_one_that_ended_meanwhile_is_not_tried_again(
    tmp_path: Path, standby: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = Engine("running", "exited")
    tries: list[str] = []

    def refuse(id_: str) -> None:
        tries.append(id_)
        raise EngineError("it is not running")

    monkeypatch.setattr(engine, "pause", refuse)
    with pytest.raises(EngineError), paused(engine, tmp_path):
        pass
    assert tries == ["abc"]
