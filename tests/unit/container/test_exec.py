from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any, Self, cast

import pytest

from devenv.container.exec import Lifeline
from devenv.doors import process
from devenv.doors.docker.engine import Engine


class _Held:
    def __init__(self) -> None:
        self.did: list[str] = []

    def send(self, data: bytes) -> None:
        self.did.append(data.decode().strip())

    def wait(self, seconds: float) -> None:
        assert seconds > 3
        self.did.append("wait")

    def close(self) -> None:
        self.did.append("close")


class _Engine:
    def __init__(self) -> None:
        self.held = _Held()
        self.command: Sequence[str] = ()

    def hold(self, name: str, command: Sequence[str], *, user: str) -> Any:
        assert (name, user) == ("box", "root")
        self.command = command
        return self.held


@pytest.fixture
def engine() -> _Engine:
    return _Engine()


def _line(engine: _Engine) -> Lifeline:
    return Lifeline(cast("Engine", engine), "box")


def test_the_guard_is_there_first_and_knows_the_commands_note(engine: _Engine) -> None:
    with _line(engine) as line:
        note = engine.command[-1]
        assert "def members" in engine.command[-2]
        assert line.command(["a", "b c"])[3:] == [note, "a", "b c"]
        line.done()
    assert engine.held.did == ["done", "close"]


def test_an_end_without_a_word_leaves_it_to_the_guard(engine: _Engine) -> None:
    with pytest.raises(KeyboardInterrupt), _line(engine):
        raise KeyboardInterrupt
    assert engine.held.did == ["close"]


def test_a_signal_is_passed_on_and_its_effect_awaited(engine: _Engine) -> None:
    with _line(engine) as line:
        line.tell(signal.SIGINT)
        line.done()
    assert engine.held.did == ["INT", "wait", "close"]


def test_a_broken_connection_ends_the_command(engine: _Engine) -> None:
    with _line(engine) as line:
        line.lost()
    assert engine.held.did == ["TERM", "wait", "close"]


class _Process:
    """Stands in for the docker client: signals come while it runs, and it ends with `code`."""

    code = 0
    group: int | None = None
    signals = 2

    def __init__(self, _: Sequence[str], *, env: object, process_group: int | None) -> None:
        assert env is None
        type(self).group = process_group

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def wait(self) -> int:
        signal.raise_signal(signal.SIGTERM)
        for _ in range(self.signals - 1):
            signal.raise_signal(signal.SIGINT)
        return self.code

    def kill(self) -> None:
        self.code = -9


@pytest.mark.parametrize(
    ("terminal", "code", "expected"), [(False, 0, 0), (False, 5, 5), (True, 0, 143), (True, 129, 129)]
)
def test_signals_are_told_once_and_the_status_is_the_commands(
    terminal: bool, code: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Process, "code", code)
    monkeypatch.setattr(process.subprocess, "Popen", _Process)
    monkeypatch.setattr(process.os, "isatty", lambda _: terminal)
    before = signal.getsignal(signal.SIGINT)
    told: list[int] = []
    assert process.interactive(["docker"], tell=told.append) == expected
    assert told == [signal.SIGTERM]
    assert _Process.group == (None if terminal else 0)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_third_signal_kills_the_client_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Process, "signals", 3)
    monkeypatch.setattr(process.subprocess, "Popen", _Process)
    monkeypatch.setattr(process.os, "isatty", lambda _: False)
    told: list[int] = []
    assert process.interactive(["docker"], tell=told.append) == -9
    assert told == [signal.SIGTERM]


@pytest.mark.parametrize(("terminal", "code", "expected"), [(False, 5, 5), (True, 0, 130)])
def test_signals_that_are_passed_on_are_all_told(
    terminal: bool, code: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Process, "code", code)
    monkeypatch.setattr(_Process, "signals", 3)
    monkeypatch.setattr(process.subprocess, "Popen", _Process)
    monkeypatch.setattr(process.os, "isatty", lambda _: terminal)
    told: list[int] = []
    passed = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    assert process.interactive(["docker"], tell=told.append, passed=passed) == expected
    assert told == [signal.SIGTERM, signal.SIGINT, signal.SIGINT]


def test_the_third_ctrl_c_kills_the_client_of_a_command_that_gets_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Process, "signals", 4)
    monkeypatch.setattr(process.subprocess, "Popen", _Process)
    monkeypatch.setattr(process.os, "isatty", lambda _: False)
    passed = (signal.SIGINT, signal.SIGTERM)
    assert process.interactive(["docker"], tell=lambda _: None, passed=passed) == -9


def test_what_nohup_ignores_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.subprocess, "Popen", _Process)
    monkeypatch.setattr(process.os, "isatty", lambda _: False)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    told: list[int] = []
    try:
        process.interactive(["docker"], tell=told.append, passed=(signal.SIGINT, signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGINT]
