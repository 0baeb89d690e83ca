"""The commands after the first start: which of them run, their records, and the message of a failure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.checks.setup import setup
from devenv.doors.terminal.progress import Silent
from devenv.errors import NotReadyError
from devenv.plan.inside import PlannedService, PlannedStep
from tests.unit.checks.test_readiness import _running, _service


class FakeEngine:
    """A container that keeps marks; `fails` maps a step to the status it ends with."""

    def __init__(self, **fails: int) -> None:
        self.fails = fails
        self.last = "the last line\n"
        self.marks: dict[str, str] = {}
        self.ran: list[str] = []
        self.restarted: list[str] = []
        self.heard: list[Callable[[str], None]] = []

    def hold(self, name: str, command: Sequence[str], *, user: str) -> Any:
        return SimpleNamespace(send=lambda data: None, wait=lambda seconds: None, close=lambda: None)

    def exec(
        self, name: str, command: Sequence[str], *, user: str = "", tell: Callable[[str], None] | None = None
    ) -> tuple[int, str, str]:
        if command[0] == "sv":
            self.restarted += command[4:]
            return 0, "", ""
        if command[0] == "tail":
            assert command[-1] == "/var/log/devenv/setup/current"
            return 0, self.last, ""
        if tell is None:
            return 0, "".join(self.marks.get(mark, "") + "\n" for mark in command[4:]), ""
        assert user == "dev"
        step, mark, key = command[command.index("sh", 4) + 4 :][:3]
        self.ran.append(step)
        tell("halfway")
        if step not in self.fails:
            self.marks[mark] = key
        return self.fails.get(step, 0), "", ""


def _step(name: str, *run: str, once: str = "environment") -> PlannedStep:
    return PlannedStep(name=name, run=run or ("make", name), timeout_s=7, once=once)


def _setup(engine: Any, *steps: PlannedStep, services: tuple[PlannedService, ...] = ()) -> bool:
    engine.ran.clear()
    return setup(_running(*services), steps, engine, progress=Silent())


def test_each_runs_once_in_the_order_written() -> None:
    engine = FakeEngine()
    assert _setup(engine, _step("b"), _step("a"))
    assert engine.ran == ["b", "a"]
    assert not _setup(engine, _step("b"), _step("a"))
    assert engine.ran == []


def test_a_changed_one_runs_again_with_those_after_it() -> None:
    engine = FakeEngine()
    _setup(engine, _step("a"), _step("b"), _step("c"))
    assert _setup(engine, _step("a"), _step("b", "other"), _step("c"))
    assert engine.ran == ["b", "c"]
    slower = dataclasses.replace(_step("a"), timeout_s=9)
    assert not _setup(engine, slower, _step("b", "other"), _step("c")), "more time is no other command"


def test_a_failed_one_is_an_error_with_its_last_lines_and_runs_again() -> None:
    engine = FakeEngine(b=3)
    with pytest.raises(NotReadyError, match=r"setup step 'b' ended with status 3") as told:
        _setup(engine, _step("a"), _step("b"), _step("c"))
    assert engine.ran == ["a", "b"]
    assert told.value.detail == "the last line\n"
    assert "devenv logs demo setup" in (told.value.hint or "")
    engine.fails.clear()
    assert _setup(engine, _step("a"), _step("b"), _step("c"))
    assert engine.ran == ["b", "c"]


COMPILER, PYTHON = "add g++ and python3-dev to 'apt'", "set 'python' to one that the package takes"


@pytest.mark.parametrize(("said", "remedy"), [
    ("error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-gcc'", COMPILER),
    ("error: command 'g++' failed: No such file or directory", COMPILER),
    ("a.c:1:10: fatal error: Python.h: No such file or directory", COMPILER),
    ("ERROR: Package 'a' requires a different Python: 3.11.2 not in '>=3.13'", PYTHON),
    ("ERROR: file:///workspace does not appear to be a Python project: neither 'setup.py' nor", "--workspace FOLDER"),
])  # fmt: skip
def test_one_whose_output_tells_why_has_a_remedy(said: str, remedy: str) -> None:
    engine = FakeEngine(a=1)
    engine.last = said
    with pytest.raises(NotReadyError) as told:
        _setup(engine, _step("a"))
    assert remedy in (told.value.hint or "")


def test_running_out_of_time_is_said() -> None:
    with pytest.raises(NotReadyError, match="timed out after 7 s"):
        _setup(FakeEngine(a=124), _step("a"))


def test_what_a_container_loses_is_done_in_the_next_one_again() -> None:
    engine = FakeEngine()
    _setup(engine, _step("data"), _step("packages", once="container"))
    kept = [mark for mark in engine.marks if mark.startswith("/mnt/demo/")]
    assert [mark.rpartition("/")[2] for mark in kept] == ["data"], "on the environment's volume"


def test_marks_that_cannot_be_read_are_none() -> None:
    engine = FakeEngine()
    engine.marks = {"/mnt/demo/.devenv/setup/a": "junk\n" * 9}
    _setup(engine, _step("a"), _step("b"))
    assert engine.ran == ["a", "b"]


def test_the_presets_services_start_again_after_what_they_may_need() -> None:
    engine = FakeEngine()
    services = (_service("ide", 1), _service("app", 2))
    _setup(engine, _step("a"), services=services)
    assert engine.restarted == ["/run/devenv/sv/app"]
    _setup(engine, _step("a"), services=services)
    assert engine.restarted == ["/run/devenv/sv/app"], "nothing ran"
