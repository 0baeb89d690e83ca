from __future__ import annotations

from typing import Any

import pytest

from devenv.doors.terminal.console import Console
from devenv.doors.terminal.stages import Stages


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
