from __future__ import annotations

import subprocess
from typing import Any

import pytest

from devenv import run


def test_variables_are_added_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def fake(command: list[str], *, env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.append(env)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", fake)
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("TAKEN", "1")
    run.run(["true"], env={"ADDED": "1", "TAKEN": None})
    assert {name: seen[0].get(name) for name in ("KEPT", "TAKEN", "ADDED")} == {
        "KEPT": "1",
        "TAKEN": None,
        "ADDED": "1",
    }
