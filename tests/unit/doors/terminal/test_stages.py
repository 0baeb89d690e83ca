from __future__ import annotations

import time as clock
from typing import Any

import pytest

from devenv.doors.terminal.console import Console
from devenv.doors.terminal.stages import Stages


def test_rate_and_time_left_are_those_of_the_time_in_which_bytes_move(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    with Stages(Console(quiet=True)).stage("lock") as stage:
        now[0] += 60  # it resolves
        stage.start("files", 3000)
        now[0] += 1
        stage.advance("files", 1000)
        assert stage.detail() == "1.0 kB of 3.0 kB, 1.0 kB/s · 2 s left · files"
        now[0] += 60  # it builds
        assert stage.detail() == "1.0 kB of 3.0 kB · files"
        stage.start("more", 0)
        now[0] += 2
        stage.advance("files", 2000)
    assert stage.detail() == "3.0 kB of 3.0 kB, 1.0 kB/s"


def test_events_tell_of_every_stage_its_bytes_and_its_end() -> None:
    told: list[dict[str, Any]] = []
    stages = Stages(Console(quiet=True), told.append)
    with stages.stage("fetch") as stage:
        stage.start("files", 10)
        stage.advance("files", 4)
        stage.advance("files", 6)
        stage.message("all here")
    stages.note("warning: something")
    with pytest.raises(ValueError, match="no"), stages.stage("build"):
        raise ValueError("no")
    assert [(one["event"], one.get("state")) for one in told if one["event"] != "bytes"] == [
        ("stage", "started"), ("message", None), ("stage", "done"), ("note", None), ("stage", "started"),
        ("stage", "failed"),
    ]  # fmt: skip
    moved = [(one["done"], one["total"]) for one in told if one["event"] == "bytes"]
    assert moved == [(4, 10), (10, 10)]  # the first at once, then only now and then, and the last in any case
