"""Environments brought up by threads of one process. Each is independent of the others' success."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devenv.container.state import environment
from devenv.doors.dirs import Dirs
from devenv.doors.docker.address import endpoint
from devenv.doors.docker.engine import connect
from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.console import Console
from devenv.doors.terminal.stages import Stages
from devenv.errors import CancelledError, NotReadyError
from devenv.up.decide import decide
from devenv.up.session import Session
from devenv.up.up import up
from tests.integration.conftest import Cli, docker
from tests.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def _session(state: Path, events: Callable[[dict[str, Any]], None]) -> Session:
    """As another program would make it."""
    dirs = Dirs.of({**os.environ, "XDG_STATE_HOME": str(state)})
    stages = Stages(Console(quiet=True), events)
    where = endpoint(os.environ, Path.home())
    return Session(dirs=dirs, settings=Settings.read(dirs), engine=lambda: connect(where), stages=stages, carried={})


def _project(folder: Path, setup: str) -> Path:
    folder.mkdir()
    (folder / "devenv.yaml").write_text(
        f"extends: python\nname: {folder.name}\ncode_server: null\njupyter: null\nsmoke: null\n"
        f"setup:\n  step:\n    run: {setup}\n    timeout_s: 600\n"
    )
    return folder


class _Run(threading.Thread):
    """`up` of a project in a thread; `at_work` is set when its setup runs."""

    def __init__(self, state: Path, project: Path) -> None:
        super().__init__(name=project.name)
        self.project = project
        self.at_work = threading.Event()
        self.session = _session(state, self._hear)
        self.outcome: Any = None

    def _hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "message" and event["stage"] == "setup":
            self.at_work.set()

    def run(self) -> None:
        try:
            decided = decide(self.project / "devenv.yaml", self.session)
            home = environment(decided.plan.preset, self.session.dirs.environments)
            self.outcome = up(decided, home, self.session, project=self.project)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.outcome = error


def test_one_fails_one_is_cancelled_and_both_can_be_brought_up(cli: Cli, tmp_path: Path) -> None:
    state = Path(cli.env["XDG_STATE_HOME"])
    failing = _Run(state, _project(tmp_path / "t-fails", '[sh, -c, "until test -e go; do sleep 0.1; done; exit 3"]'))
    waiting = _Run(state, _project(tmp_path / "t-waits", "[sleep, '500']"))
    for run in (failing, waiting):
        run.start()
    for run in (failing, waiting):
        assert run.at_work.wait(400), run.outcome
    (failing.project / "go").touch()
    failing.join(60)
    assert isinstance(failing.outcome, NotReadyError), failing.outcome
    assert "status 3" in failing.outcome.message
    assert waiting.is_alive(), "the failure of one is nothing to the other"
    until(lambda: "sleep 500" in docker("top", "devenv-t-waits"))

    waiting.session.cancel.cancel()
    waiting.join(60)
    assert isinstance(waiting.outcome, CancelledError), waiting.outcome
    assert "sleep 500" not in docker("top", "devenv-t-waits"), "nothing of it goes on inside"

    (failing.project / "devenv.yaml").write_text((failing.project / "devenv.yaml").read_text().replace("exit 3", ":"))
    (waiting.project / "devenv.yaml").write_text((waiting.project / "devenv.yaml").read_text().replace("500", "0"))
    again = [_Run(state, run.project) for run in (failing, waiting)]
    for run in again:
        run.start()
    for run in again:
        run.join(300)
        assert run.outcome.report.passed, run.outcome
