"""What `--on` hands over, and what an answer of another machine may do here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click
import pytest

from devenv.cli import cli, elsewhere, on_box, on_box_open, on_box_up
from devenv.cli.app import App, Options
from devenv.cli.elsewhere import Command
from devenv.doors.process import Outcome
from devenv.doors.settings.targets import SshTarget
from devenv.errors import PresetError, UsageError
from devenv.remote.box import OnBox


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("DEVENV_ON", raising=False)
    monkeypatch.chdir(tmp_path)
    return App(Options())


def _command(line: Sequence[str]) -> Command:
    command = cli.get_command(click.Context(cli), line[0])  # type: ignore[attr-defined]
    assert isinstance(command, click.Command)
    values = {key: value for key, value in command.make_context(line[0], list(line[1:])).params.items() if key != "on"}
    return Command(name=line[0], values=values, words=elsewhere.words(command, values), given=frozenset(values))


def _asked(app: App, *line: str) -> tuple[Path | None, tuple[str, ...]]:
    asked = on_box_up._asked(app, _command(("up", *line)))
    assert asked.words[:3] == ("-q", "up", "--json-events")
    return asked.project, asked.words[3:]


def test_the_project_goes_along_and_options_of_this_machine_do_not(app: App, tmp_path: Path) -> None:
    (tmp_path / "devenv.yaml").write_text("extends: python\n")
    (tmp_path / "other.yaml").write_text("extends: python\n")
    (tmp_path / "sub").mkdir()
    assert _asked(app, "--json", "--from", str(tmp_path), "--fresh") == (tmp_path, ("--fresh",))
    assert _asked(app, "other.yaml") == (tmp_path, ("--", "other.yaml"))
    assert _asked(app, ".", "--name", "x") == (tmp_path, ("--name=x", "--", "."))
    assert _asked(app, "rapidocr") == (None, ("--", "rapidocr"))
    assert _asked(app, "registry.example/a:1", "--pull") == (None, ("--pull", "--", "registry.example/a:1"))
    assert _asked(app, "a-snapshot-there") == (None, ("--", "a-snapshot-there"))
    assert _asked(app, "--workspace", "/data/p") == (None, ("--workspace=/data/p", "--", "/data/p"))


def test_what_cannot_go_along_is_an_error(app: App, tmp_path: Path) -> None:
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "my.yaml").write_text("extends: python\n")
    with pytest.raises(UsageError, match="lies in no project"):
        _asked(app, "preset/my.yaml")
    with pytest.raises(PresetError, match="does not exist"):
        _asked(app, "preset/none.yaml")
    with pytest.raises(UsageError, match="not a folder there"):
        _asked(app, "--workspace", "relative")


def test_the_users_choice_counts_and_a_projects_words_do_not(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "devenv.yaml").write_text("extends: python\n")
    (tmp_path / "config.yaml").write_text("target: evil\ntargets: {evil: {ssh: evil}}\n")
    assert elsewhere.target(app, None) is None
    elsewhere.book(app).add(SshTarget(name="box", destination="me@box"))
    elsewhere.book(app).use("box", tmp_path)
    found = elsewhere.target(app, None)
    assert isinstance(found, SshTarget)
    assert found.destination == "me@box"
    assert elsewhere.target(app, "here") is None
    monkeypatch.setenv("DEVENV_ON", "here")
    assert elsewhere.target(app, None) is None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Box(OnBox):
    """A box that answers as the test says."""

    answers: Mapping[str, Any]

    def run(self, project: Path | None, words: Sequence[str], echo: Any = None) -> Outcome:
        return Outcome(command=(), code=0, out=json.dumps(self.answers.get(words[0])), err="")


def _box(app: App, **answers: Any) -> _Box:
    made = on_box.on_box(app, SshTarget(name="box", destination="me@box"))
    values = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    return _Box(**values, answers=answers)


@pytest.fixture(autouse=True)
def _runtime(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(on_box, "sockets", lambda *_: tmp_path_factory.mktemp("sockets"))


def test_only_names_of_environments_count(app: App) -> None:
    assert on_box._names('["a", "../b", 5, "c-d", ""]') == ["a", "c-d"]
    for text in ("", "{}", "null", "[[]]", "x"):
        assert on_box._names(text) == []


@pytest.mark.parametrize(
    "answer", [None, [], "x", {"urls": []}, {"urls": {"ide": "http://127.0.0.1:8443/"}, "own": "yes"}]
)
def test_a_strange_status_is_no_environment(app: App, answer: Any) -> None:
    assert on_box._environment(_box(app, status=answer), _command(["status"]), None) is None


def test_a_page_elsewhere_is_not_opened(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(on_box_open, "started", lambda _: pytest.fail("it was opened"))
    monkeypatch.setattr(on_box_open, "linked", lambda *_: {})
    box = _box(app, status={"name": "x", "own": True, "urls": {"../../evil": "https://evil.example/\x1b]0;x"}})
    on_box_open.open_(app, cast("OnBox", box), _command(["open"]), None)
    told = capsys.readouterr()
    assert told.out == "https://evil.example/\\x1b]0;x\n"
    assert "not opened" in told.err


def test_an_editor_gets_no_name_that_a_box_made_up(app: App) -> None:
    box = _box(app, status={"name": "x --evil", "own": True, "urls": {"ide": "http://127.0.0.1:1/"}})
    with pytest.raises(UsageError, match="no name of an environment"):
        on_box_open.open_(app, cast("OnBox", box), _command(["open", "--vscode"]), None)
