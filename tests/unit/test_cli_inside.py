"""The command line of what looks into an environment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv import cli, probe, run
from devenv.cli.app import App
from devenv.environment import environment


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An environment that runs, which every name and none means."""
    found = SimpleNamespace(
        name="demo", facts=SimpleNamespace(state="running", name="devenv-demo"), services=(),
        urls=lambda token: {"ide": f"http://127.0.0.1:1/?tkn={token}"},
    )  # fmt: skip
    demo = environment("demo", tmp_path)
    demo.token()
    monkeypatch.setattr(App, "select", lambda *_, **__: found)
    monkeypatch.setattr(App, "environment", lambda *_: demo)
    monkeypatch.setattr(probe, "states", lambda *_: {"ide": "ready"})
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def browsers(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The programs that were started to show a page."""
    started: list[Sequence[str]] = []

    def detached(command: Sequence[str], **_: Any) -> bool:
        started.append(command)
        return True

    monkeypatch.setattr(run, "detached", detached)
    return started


def test_without_a_screen_no_browser_is_looked_for(
    one: SimpleNamespace, browsers: list[Sequence[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["open", one.name]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("http://127.0.0.1:1/?tkn=")
    assert "no browser here" in printed.err
    assert browsers == []


def test_with_a_screen_the_page_opens_and_the_token_is_in_no_process_list(
    one: SimpleNamespace,
    browsers: list[Sequence[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    assert cli.run(["open", one.name]) == 0
    ((program, address),) = browsers
    assert (program, address.partition(":")[0]) == ("xdg-open", "file")
    assert capsys.readouterr().err == ""


def test_a_stopped_environment_has_no_page(
    one: SimpleNamespace, browsers: list[Sequence[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    one.facts.state = "exited"
    assert cli.run(["open", one.name]) == 9
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "demo is not running (exited)" in printed.err
    assert "devenv start demo" in printed.err
    assert browsers == []
