from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from devenv import cli
from devenv.cli import app
from devenv.cli.app import _Printable
from devenv.doors.files import RefusedError
from devenv.doors.terminal.console import Console, bytes_text, printable
from devenv.errors import LockError, PresetError


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (6_670_000_000, "6.7 GB"), (2e13, "20000.0 GB")]
)
def test_bytes_for_people(count: float, text: str) -> None:
    assert bytes_text(count) == text


def test_an_error_says_where_what_and_what_next(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error(
        PresetError("unknown key 'x'", where="devenv.yaml:7:5", detail="7 | x: 1\n  | ^", hint="did you mean 'y'?")
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: devenv.yaml:7:5: unknown key 'x'\n  7 | x: 1\n    | ^\nhint: did you mean 'y'?\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "iso-8859-1"])
def test_json_is_json_whatever_stdout_can_carry(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    value = {"folder": "/é/β/😀/\udcff"}
    Console().json(value)
    assert json.loads(out.buffer.getvalue().decode(encoding)) == value  # type: ignore[attr-defined]


def test_all_mistakes_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error(PresetError("2 mistakes", problems=(PresetError("one"), PresetError("two"))))
    assert capsys.readouterr().err == "error: one\nerror: two\n2 mistakes\n"
    error = LockError("2 extensions cannot be locked")
    error.problems = (LockError("one", hint="first"), LockError("two"))
    Console().error(error)
    assert capsys.readouterr().err == "error: one\nhint: first\nerror: two\n2 mistakes\n"


def test_quiet_keeps_warnings_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.note("left out")
    console.warn("kept")
    assert capsys.readouterr().err == "warning: kept\n"


def test_json_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    Console().json({"text": "发票"})
    assert json.loads(capsys.readouterr().out) == {"text": "发票"}


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b1A\rx\x7f\u202e\ud800\U000e0041"
SHOWN = "\\x1b]0;owned\\x07\\x1b[2J\\x9b1A\\rx\\x7f\\u202e\\ud800\\U000e0041"


def test_text_of_others_commands_no_terminal() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("\x1b[1;31mred\x1b[0m\r\nline\r") == "red\nline", "colours and line ends say nothing"
    assert printable("\x1b[\x1b[0m31m") == "\\x1b[31m", "what is dropped leaves nothing behind that was hidden in it"
    assert printable("a\tb\nc 发票 é") == "a\tb\nc 发票 é"
    assert printable("a\tb\nc", one_line=True) == "a\\tb\\nc"


def test_nothing_is_printed_raw(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.data(HOSTILE)
    console.note(HOSTILE)
    console.warn(HOSTILE)
    console.error(PresetError(HOSTILE, where=HOSTILE, detail=HOSTILE, hint=HOSTILE))
    console.table("", ("A", "B"), [("a\nb", HOSTILE)], stdout=True)
    with console.stages() as stages, stages.stage("boot") as stage:
        stage.message(f"a\n{HOSTILE}")
        stages.note(HOSTILE)
    assert stage.detail() == f"a\\n{SHOWN}", "as the live list has it"
    out, err = capsys.readouterr()
    assert (out.count(SHOWN), err.count(SHOWN)) == (2, 8)
    assert "a\\nb" in out
    assert not {*out, *err} & {*HOSTILE} - {*SHOWN}


def test_what_programs_print_is_not_shown_raw_by_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("devenv.output", logging.INFO, "", 0, "%s", (HOSTILE,), None)
    assert _Printable("  %(message)s").format(record) == f"  {SHOWN}"


def test_json_is_the_same_value_and_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Console().json({HOSTILE: HOSTILE})
    out = capsys.readouterr().out
    assert not {*out} & {*HOSTILE} - {*SHOWN}
    assert json.loads(out) == {HOSTILE: HOSTILE}


def test_stages_without_a_terminal_are_timed_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().stages() as stages:
        with stages.stage("fetch") as stage:
            stage.start("download", 1000)
            stage.advance("download", 1000)
            stage.finish("download")
        with stages.stage("build") as stage:
            stage.cached = True
        with pytest.raises(RuntimeError), stages.stage("boot"):
            raise RuntimeError
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("  ✓ fetch")
    assert "1.0 kB of 1.0 kB" in lines[0]
    assert lines[1].startswith("  = build")
    assert lines[2].startswith("  ✗ boot")
    assert [(one.name, one.cached) for one in stages.reports()] == [("fetch", False), ("build", True), ("boot", False)]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, ""),
        (["--version"], 0, ""),
        (["upp"], 2, "Did you mean 'up'?"),
        (["up", "--nope"], 2, "No such option"),
        (["validate", "no-such-preset"], 3, "no-such-preset"),
    ],
)  # fmt: skip
def test_exit_statuses(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == code
    out, err = capsys.readouterr()
    assert words in out + err
    assert "Traceback" not in err


def test_a_bug_is_a_log_and_exit_70(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(app, "begin", broken)
    assert cli.run(["presets"]) == 70
    err = capsys.readouterr().err
    assert "by nought" in err
    assert "Traceback" not in err


def test_interruption_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "begin", interrupted)
    assert cli.run(["presets"]) == 130


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RefusedError(Path("/x"), "it is a pipe, not a file", "remove it"), 2),
        (IsADirectoryError(21, "Is a directory", "/x"), 8),
        (OSError(40, "Too many levels of symbolic links", "/x"), 8),
    ],
)
def test_something_else_in_a_files_place_is_no_bug(
    error: OSError, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", fail)
    assert cli.run(["presets"]) == status
    assert "/x" in capsys.readouterr().err
