"""What every command gets from the environment variables and folders of whoever runs it."""

from __future__ import annotations

import io
import os
import pwd
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from devenv import cli
from devenv.cli import surroundings
from devenv.cli.app import App, Options, begin, from_option, json_option, pass_app, weights_dir_option
from devenv.errors import UsageError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "DOCKER_CONFIG", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def _app() -> App:
    return App(begin(Options()))


def test_the_options_of_a_command_and_of_devenv_are_one_value(home: Path) -> None:
    made: list[App] = []

    @click.command()
    @from_option
    @weights_dir_option
    @json_option
    @click.argument("what")
    @pass_app
    def command(app: App, what: str) -> None:
        made.append(app)
        assert what == "x"

    started = Options(quiet=True)
    arguments = ["--json", "--from", str(home), "--weights-dir", str(home / "weights"), "x"]
    command.main(arguments, obj=started, standalone_mode=False)
    command.main(["x"], obj=started, standalone_mode=False)
    assert [one.options for one in made] == [
        Options(quiet=True, json=True, folders=(home,), weights_dir=str(home / "weights")), started
    ]  # fmt: skip
    assert made[0].settings.folders == (home,)
    assert made[0].settings.hubs.dir == home / "weights"


def test_proxies_of_dockers_settings_go_inside_unless_a_variable_says_otherwise(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(
        '{"proxies": {"default": {"httpProxy": "http://u:pw@p:1", "httpsProxy": "http://u:pw@p:2"}}}'
    )
    monkeypatch.setenv("https_proxy", "http://mine:3")
    carried = {name: value for name, value in _app().carried.items() if "proxy" in name.lower()}
    assert carried == {
        "HTTP_PROXY": "http://u:pw@p:1", "http_proxy": "http://u:pw@p:1", "https_proxy": "http://mine:3"
    }  # fmt: skip


def test_without_home_the_systems_own_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir=str(home / "own")))
    for value in ("", "relative"):
        monkeypatch.setenv("HOME", value)
        assert _app().dirs.cache == home / "own/.cache/devenv"
        assert os.environ["HOME"] == str(home / "own"), "for other programs, too"


def test_without_any_home_one_error_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("HOME")
    with pytest.raises(UsageError, match="HOME names no folder"):
        _app()


def test_relative_xdg_folders_are_ignored_and_said(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "elsewhere"))
    dirs = _app().dirs
    assert (dirs.cache, dirs.state) == (home / ".cache/devenv", home / "elsewhere/devenv")
    assert "XDG_CACHE_HOME" not in os.environ
    assert "XDG_CACHE_HOME is 'cache', which is not an absolute path" in capsys.readouterr().err


def test_folders_that_docker_cannot_mount_are_refused_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", os.fsdecode(os.fsencode(home) + b"/\xe9"))
    with pytest.raises(UsageError, match="XDG_STATE_HOME is not UTF-8"):
        _app()


def test_a_folder_that_is_gone_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "gone").mkdir()
    monkeypatch.chdir(home / "gone")
    (home / "gone").rmdir()
    with pytest.raises(UsageError, match="no longer exists"):
        _app()


def test_another_locale_starts_the_program_again_in_utf8_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *call: started.append(call))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "devenv", "ps"])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="iso-8859-1"))
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    surroundings.use_utf8()
    assert started == [], "this one is UTF-8"
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso-8859-1")
    surroundings.use_utf8()
    ((program, arguments, variables),) = started
    assert arguments == [program, "-X", "utf8", "-m", "devenv", "ps"]
    assert variables["PYTHONIOENCODING"] == "iso-8859-1:backslashreplace"


def test_a_closed_stream_is_open_and_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    own, output = os.dup(0), sys.stdout
    monkeypatch.setattr(sys, "stdin", None)
    os.close(0)
    try:
        surroundings.open_streams()
        assert sys.stdin.fileno() == 0
        assert (sys.stdin.isatty(), sys.stdin.read(), os.get_inheritable(0)) == (False, "", True)
        assert sys.stdout is output
    finally:
        os.dup2(own, 0)
        os.close(own)


@pytest.mark.parametrize("name", ["", "Not-A-Name"])
def test_a_name_that_cannot_be_is_refused_before_anything_is_done(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    (home / "devenv.yaml").write_text('base: {bootstrap: debian/bookworm}\npython: "3.11"\n')
    assert cli.run(["up", "--name", name]) == UsageError.exit_code
    assert "is not a name for an environment" in capsys.readouterr().err
    assert [one.name for one in home.iterdir()] == ["devenv.yaml"]


def test_an_empty_argument_is_refused_but_words_for_the_container_may_be_empty() -> None:
    given: list[tuple[str | None, tuple[str, ...]]] = []

    @click.command()
    @click.argument("name", required=False)
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    @pass_app
    def command(app: App, name: str | None, words: tuple[str, ...]) -> None:
        given.append((name, words))

    command.main(["x", "", "y"], obj=Options(), standalone_mode=False)
    command.main([], obj=Options(), standalone_mode=False)
    assert given == [("x", ("", "y")), (None, ())]
    with pytest.raises(click.UsageError, match="an argument is empty: NAME"):
        command.main(["", "y"], obj=Options(), standalone_mode=False)
