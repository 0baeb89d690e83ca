"""Logs, of a container that runs and of one that does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from devenv.container import logs

RUNNING: Any = SimpleNamespace(facts=SimpleNamespace(name="devenv-demo"), services=(SimpleNamespace(name="web"),))


class Engine:
    """`commands`: what was run to print a log."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def read_file(self, _: str, path: str) -> str:
        return f"one\ntwo\nof {path}\n"

    def exec(self, _: str, command: list[str]) -> tuple[int, str, str]:
        return 0, "\n".join(path for path in command[4:] if "setup" not in path) + "\n", ""

    def follow(self, _: str, command: list[str], *, user: str) -> Any:
        assert user == "root"
        self.commands.append(command)
        return iter(["line"])


def test_the_end_of_each_log_of_a_stopped_container_is_read() -> None:
    engine: Any = Engine()
    assert [*logs.stopped(RUNNING, "web", engine, lines=2)] == ["two\nof /var/log/devenv/web/current"]
    assert len([*logs.stopped(RUNNING, None, engine, lines=1)]) == 3


def test_logs_that_exist_are_printed_and_followed_on_a_lifeline(monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = Engine()
    lifeline = MagicMock()
    lifeline.return_value.__enter__.return_value.command = lambda command: ["held", *command]
    monkeypatch.setattr(logs, "Lifeline", lifeline)
    paths = logs.existing(RUNNING, None, engine)
    assert paths == ("/var/log/devenv/web/current", "/var/log/devenv/gateway/current")
    assert [*logs.read(RUNNING, paths[:1], engine, lines=5, follow=False)] == ["line"]
    lifeline.assert_not_called()
    following = logs.read(RUNNING, paths[:1], engine, lines=5, follow=True)
    assert next(following) == "line"
    following.close()
    lifeline.return_value.__exit__.assert_called_once()
    assert engine.commands == [["tail", "-n", "5", paths[0]], ["held", "tail", "-n", "5", "-F", paths[0]]]
