from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from devenv.checks.smoke import PLUMBING, smoke
from devenv.doors.terminal.progress import Silent
from devenv.errors import SmokeError
from devenv.plan.inside import PlannedCheck
from tests.unit.checks.test_readiness import _running


class FakeEngine:
    def __init__(self, *results: tuple[int, str, str]) -> None:
        self.results = list(results)
        self.commands: list[Sequence[str]] = []

    def exec(self, name: str, command: Sequence[str], *, user: str = "") -> tuple[int, str, str]:
        assert command[0] == "devenv-exec", "which makes the user of it"
        self.commands.append(command)
        return self.results.pop(0)


def _smoke(engine: Any, *names: str) -> Any:
    import dataclasses

    checks = tuple(PlannedCheck(name=name, run=("python", "x.py"), timeout_s=7) for name in names)
    return smoke(dataclasses.replace(_running(), checks=checks), engine, progress=Silent())


def test_the_last_line_is_the_report() -> None:
    engine = FakeEngine((0, 'words\n{"cer_en": 0.1, "text": "发票"}\n', ""))
    report = _smoke(engine, "ocr")
    assert report.passed
    assert report.checks[0].report == {"cer_en": 0.1, "text": "发票"}
    assert "timeout" in engine.commands[0]
    assert "7" in engine.commands[0]


@pytest.mark.parametrize("out", ["", "no json", "[1]", '{"cut', "17"])
def test_anything_else_is_no_report(out: str) -> None:
    assert _smoke(FakeEngine((0, out, "")), "ocr").checks[0].report == {}


def test_one_failed_check_fails_the_test_and_all_run() -> None:
    report = _smoke(FakeEngine((1, "", "blurred\n"), (0, "", "")), "a", "b")
    assert [one.passed for one in report.checks] == [False, True]
    assert not report.passed
    with pytest.raises(SmokeError, match=r"'a' ended with status 1") as told:
        report.raise_failed("demo")
    assert told.value.exit_code == 10
    assert told.value.detail == "blurred"


def test_running_out_of_time_is_said() -> None:
    with pytest.raises(SmokeError, match="timed out"):
        _smoke(FakeEngine((124, "", "")), "a").raise_failed("demo")


def test_a_passed_report_raises_nothing() -> None:
    _smoke(FakeEngine((0, "", "")), "a").raise_failed("demo")


def _plumbing(*results: tuple[int, str, str]) -> tuple[FakeEngine, Any]:
    import dataclasses

    engine = FakeEngine(*results)
    checks = (PlannedCheck(name="ocr", run=("ocr-check",), timeout_s=7, expect="plumbing"),)
    return engine, smoke(dataclasses.replace(_running(), checks=checks), engine, progress=Silent())  # type: ignore[arg-type]


def test_the_check_is_told_what_is_expected() -> None:
    engine, _ = _plumbing((0, "", ""))
    assert "DEVENV_SMOKE_EXPECT=plumbing" in engine.commands[0]
    usual = FakeEngine((0, "", ""))
    _smoke(usual, "a")
    assert "DEVENV_SMOKE_EXPECT=result" in usual.commands[0]


def test_a_plumbing_pass_is_never_said_as_a_pass() -> None:
    _, report = _plumbing((0, '{"summary": "16 tokens"}\n', ""))
    assert report.passed
    assert report.checks[0].line == f"ocr: {PLUMBING} 16 tokens"
    assert "result itself was not checked" in PLUMBING
    assert _smoke(FakeEngine((0, "", "")), "ocr").checks[0].line == "ocr: passed"


def test_plumbing_that_fails_is_a_failure() -> None:
    _, report = _plumbing((1, "", "not finite"))
    assert not report.passed
    assert report.checks[0].words == "FAILED"
