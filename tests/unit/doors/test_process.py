from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any, Self

import pytest

from devenv.doors import process


def test_variables_are_added_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("TAKEN", "1")
    seen = process.variables({"ADDED": "1", "TAKEN": None}) or {}
    assert {name: seen.get(name) for name in ("KEPT", "TAKEN", "ADDED")} == {"KEPT": "1", "TAKEN": None, "ADDED": "1"}


@pytest.mark.parametrize(("code", "works"), [(0, True), (3, False), (None, True)])
def test_a_program_that_goes_on_by_itself_prints_nothing_here(
    code: int | None, works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`None`: it still runs, as a browser does that was not there before."""
    started: list[dict[str, Any]] = []

    def wait(_: float) -> int:
        if code is None:
            raise process.TimeoutExpired("x", 1)
        return code

    def popen(_: list[str], **options: Any) -> Any:
        started.append(options)
        return SimpleNamespace(wait=wait)

    monkeypatch.setattr(subprocess, "Popen", popen)
    assert process.detached(["xdg-open", "file:///x"], watch_s=1) is works
    (options,) = started
    assert {options[stream] for stream in ("stdin", "stdout", "stderr")} == {subprocess.DEVNULL}
    assert options["start_new_session"]


class _Program:
    """A process that stands by, and its input."""

    def __init__(self, *, is_gone: bool = False) -> None:
        self.lines: list[str] = []
        self.ended = False
        self.stdin = SimpleNamespace(write=self._write, flush=lambda: None)
        self._is_gone = is_gone

    def _write(self, text: str) -> None:
        if self._is_gone:
            raise BrokenPipeError
        self.lines.append(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_program_on_standby_is_told_that_all_went_well(monkeypatch: pytest.MonkeyPatch, is_gone: bool) -> None:
    program = _Program(is_gone=is_gone)
    options: dict[str, Any] = {}
    monkeypatch.setattr(subprocess, "Popen", lambda _, **given: options.update(given) or program)
    with process.standby(["x"], "facts", keeps=[7]):
        assert program.lines == ([] if is_gone else ["facts\n"])
    assert program.lines == ([] if is_gone else ["facts\n", "done\n"])
    assert program.ended
    assert options["start_new_session"]  # the terminal's Ctrl-C must not end it
    assert options["pass_fds"] == (7,)


def test_a_program_on_standby_acts_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    program = _Program()
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: program)
    with pytest.raises(KeyError), process.standby(["x"], "facts"):
        raise KeyError
    assert program.lines == ["facts\n"]
    assert program.ended


def test_a_process_is_known_to_be_gone_only_where_it_can_be_known() -> None:
    own = process.this_process()
    assert not process.is_gone(own)
    place, pid, started = own.split(":")
    assert process.is_gone(f"{place}:{pid}:{int(started) - 1}"), "another had that number before"
    assert process.is_gone(f"{place}:4194305:1"), "above the largest number"
    for unknown in ("", "x", f"elsewhere:{pid}:1", f"{place}:x:1"):
        assert not process.is_gone(unknown)
