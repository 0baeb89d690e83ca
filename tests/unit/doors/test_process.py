from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.doors import process


def test_variables_are_added_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("TAKEN", "1")
    seen = process._variables({"ADDED": "1", "TAKEN": None}) or {}
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
