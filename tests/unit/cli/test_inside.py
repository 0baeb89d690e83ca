"""The command line of what looks into an environment."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from devenv import cli
from devenv.checks import readiness
from devenv.cli import inside
from devenv.cli.app import App
from devenv.container import exec as lifeline
from devenv.container.environments import Environments
from devenv.container.state import environment
from devenv.doors import process


@dataclasses.dataclass
class Demo:
    """What commands ask of an environment that runs."""

    name: str = "demo"
    facts: Any = dataclasses.field(
        default_factory=lambda: SimpleNamespace(state="running", name="devenv-demo", is_cut_off=False)
    )
    services: tuple[Any, ...] = ()
    checks: tuple[Any, ...] = ()
    status: int = 0
    is_devcontainer: bool = False

    def urls(self, token: str) -> dict[str, str]:
        return {"ide": f"http://127.0.0.1:1/?tkn={token}"}


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """An environment, which every name and none means."""
    found = Demo()
    demo = environment("demo", tmp_path)
    demo.token()
    monkeypatch.setattr(App, "select", lambda *_, **__: found)
    monkeypatch.setattr(Environments, "state", lambda *_: demo)
    monkeypatch.setattr(readiness, "states", lambda *_: {"ide": "ready"})
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

    monkeypatch.setattr(process, "detached", detached)
    return started


def test_without_a_screen_no_browser_is_looked_for(
    one: Demo, browsers: list[Sequence[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 50000 10.0.0.7 22")
    assert cli.run(["open", one.name]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("http://127.0.0.1:1/?tkn=")
    assert "no browser here" in printed.err
    assert "\nssh -N -L 1:127.0.0.1:1 me@10.0.0.7\n" in printed.err
    assert browsers == []


def test_an_environment_without_smoke_checks_is_not_shown_as_tested(
    one: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["smoke", one.name]) == 0
    assert capsys.readouterr() == ("", f"no smoke checks: the preset of {one.name} has none\n")
    assert cli.run(["smoke", one.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"passed": True, "checks": []}


@pytest.mark.parametrize("editor", ["code", "cursor"])
def test_an_editor_on_the_desktop_attaches_to_the_container(
    one: Demo, browsers: list[Sequence[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    editor: str,
) -> None:  # fmt: skip
    option = "--vscode" if editor == "code" else "--cursor"
    told = b'{"containerName":"/devenv-demo"}'.hex()
    uri = f"vscode-remote://attached-container+{told}/workspace"
    monkeypatch.setenv("SSH_CONNECTION", "")
    monkeypatch.setattr("platform.node", lambda: "gpu-box")
    assert cli.run(["open", option]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{uri}\n"
    far = f"vscode-remote://attached-container+{told}@ssh-remote+gpu-box/workspace"
    assert f"\n{editor} --folder-uri {far}\n" in printed.err
    assert browsers == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert cli.run(["open", one.name, option]) == 0
    assert [*browsers] == [(editor, "--folder-uri", uri)]
    assert capsys.readouterr().err == ""


def test_an_editor_that_is_not_installed_is_said(
    one: Demo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(command: Sequence[str], **_: Any) -> bool:
        raise FileNotFoundError(command[0])

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(process, "detached", missing)
    assert cli.run(["open", "--cursor"]) == 0
    assert "Cursor does not run here" in capsys.readouterr().err


def test_a_terminal_is_a_shell(one: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devenv.cli.open.interactive", lambda _, __, words: 0 if words == ("bash", "-l") else 1)
    with pytest.raises(SystemExit) as ended:
        cli.run(["open", "--terminal"])
    assert ended.value.code == 0


@pytest.mark.parametrize("arguments", [["demo", "ide", "--vscode"], ["--vscode", "--terminal"], ["x", "y", "--ide"]])
def test_one_thing_is_opened(one: Demo, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["open", *arguments]) == 2
    assert "more than one thing to open" in capsys.readouterr().err


def test_a_page_by_its_option(one: Demo, browsers: list[Sequence[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["open", "--ide"]) == 0
    assert cli.run(["open", "--jupyter"]) == 2
    assert "has no page 'jupyter'" in capsys.readouterr().err


def test_with_a_screen_the_page_opens_and_the_token_is_in_no_process_list(
    one: Demo,
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
    one: Demo, browsers: list[Sequence[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    one.facts.state = "exited"
    assert cli.run(["open", one.name]) == 9
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "demo is not running (exited)" in printed.err
    assert "devenv start demo" in printed.err
    assert browsers == []


@pytest.mark.parametrize(
    ("arguments", "name", "command"),
    [
        (["sh"], None, ("sh",)),
        (["--", "sh"], None, ("sh",)),
        (["demo", "--", "sh", "-c", "x"], "demo", ("sh", "-c", "x")),
        (["demo", "--", "grep", "--", "-x"], "demo", ("grep", "--", "-x")),
        (["--", "grep", "--", "-x"], None, ("grep", "--", "-x")),
        (["git", "checkout", "--", "file"], None, ("git", "checkout", "--", "file")),
        (["--name", "demo", "grep", "--", "-x"], "demo", ("grep", "--", "-x")),
        (["--name", "demo", "--", "ls", "-l"], "demo", ("ls", "-l")),
        (["-w", "sub", "demo", "--", "ls"], "demo", ("ls",)),
        (["ls", "--name", "x"], None, ("ls", "--name", "x")),
    ],
)
def test_one_word_before_two_dashes_is_the_environment(
    one: Demo,
    arguments: list[str],
    name: str | None,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[object] = []

    def select(_: App, asked: str | None, **__: Any) -> Demo:
        done.append(asked)
        return one

    def interactive(_: App, __: object, words: tuple[str, ...], **___: Any) -> int:
        done.append(words)
        return 37

    monkeypatch.setattr(App, "select", select)
    monkeypatch.setattr(inside, "interactive", interactive)
    with pytest.raises(SystemExit) as ended:
        cli.run(["exec", *arguments])
    assert ended.value.code == 37
    assert done == [name, command]


@pytest.mark.parametrize("arguments", [[], ["--"], ["demo", "--"]])
def test_a_command_is_needed(one: Demo, arguments: list[str]) -> None:
    assert cli.run(["exec", *arguments]) == 2


def test_a_program_in_the_place_of_a_name_is_told_how_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(App, "engine", None)
    monkeypatch.setattr(Environments, "every", lambda _: ())
    assert cli.run(["exec", "cat", "--", "-x"]) == 2
    assert "devenv exec -- cat -- …" in capsys.readouterr().err


@pytest.mark.parametrize(("asked", "folder"), [(None, "/workspace"), ("a/b", "/workspace/a/b"), ("/tmp", "/tmp")])
def test_a_command_runs_in_the_folder_that_was_asked_for(
    one: Demo, asked: str | None, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[list[str]] = []

    def look(_: str, command: list[str], **__: Any) -> tuple[int, str, str]:
        there.append(command)
        return 0, "", ""

    def ran(command: list[str], **_: Any) -> int:
        assert command[5:7] == ["--workdir", folder]
        return 0

    monkeypatch.setattr(App, "engine", SimpleNamespace(exec=look, endpoint=MagicMock()))
    line = MagicMock(command=lambda words: [*words])
    monkeypatch.setattr(lifeline, "Lifeline", MagicMock(return_value=MagicMock(__enter__=lambda _: line)))
    monkeypatch.setattr(process, "interactive", ran)
    with pytest.raises(SystemExit) as ended:
        cli.run(["exec", *(["-w", asked] if asked else []), "ls"])
    assert ended.value.code == 0
    assert there == ([["test", "-d", folder]] if asked else [])


def test_a_folder_that_is_not_there_is_said(
    one: Demo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(App, "engine", SimpleNamespace(exec=lambda *_, **__: (1, "", "")))
    assert cli.run(["exec", "-w", "nowhere", "ls"]) == 2
    assert "demo has no folder /workspace/nowhere in the container" in capsys.readouterr().err


@pytest.fixture
def services(one: Demo, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was done to the services `web` and `worker`, and waited for; `status` of `one` is what that ended with."""
    done: list[Any] = []
    web, worker = SimpleNamespace(name="web", port=9000), SimpleNamespace(name="worker", port=None)
    one.services = (web, worker)

    def run_inside(_: str, command: list[str], **__: Any) -> tuple[int, str, str]:
        done.append(command)
        return one.status, "timeout: run: web", ""

    monkeypatch.setattr(App, "engine", SimpleNamespace(exec=run_inside))
    monkeypatch.setattr(App, "known_token", lambda *_: "secret")
    monkeypatch.setattr("devenv.container.environments.Environments.every", lambda _: (one,))
    monkeypatch.setattr(readiness, "Watch", MagicMock())
    monkeypatch.setattr(
        readiness, "wait_ready", lambda waited, *_, **__: done.append([each.name for each in waited.services])
    )
    return done


@pytest.mark.parametrize(
    ("words", "service", "waited"),
    [
        (["web"], "web", ["web"]), (["demo", "web"], "web", ["web"]), (["worker"], "worker", None),
        (["gateway"], "gateway", ["web"]),
    ],
)  # fmt: skip
def test_one_service_is_restarted_and_waited_for(
    services: list[Any], words: list[str], service: str, waited: list[str] | None
) -> None:
    assert cli.run(["restart", *words]) == 0
    command, *rest = services
    assert command == ["sv", "-w", "10", "force-restart", f"/run/devenv/sv/{service}"]
    assert rest == ([["cat", f"/run/devenv/exit/{service}"], waited] if waited else [])


@pytest.mark.parametrize("words", [["../../etc"], ["demo", "nope"], ["demo", "web", "more"]])
def test_what_is_no_service_is_not_restarted(services: list[Any], words: list[str]) -> None:
    assert cli.run(["restart", *words]) == 2
    assert services == []


@pytest.mark.parametrize("words", [[], ["demo"]])
def test_without_a_service_all_of_it_is_restarted(
    services: list[Any], words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr("devenv.up.start.start", lambda name, *_, anew: begun.append((name, anew)))
    assert cli.run(["restart", *words]) == 0
    assert (begun, services) == ([("demo", True)], [])
    assert "demo is restarted" in capsys.readouterr().err


def test_a_service_that_does_not_restart_is_an_error(
    services: list[Any], one: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    one.status = 1
    assert cli.run(["restart", "web"]) == 9
    printed = capsys.readouterr().err
    assert "cannot restart service 'web'" in printed
    assert "devenv logs demo web" in printed
    assert len(services) == 1, "nothing is waited for"
