"""The smoke test must fail when it should."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ocr import smoke
from ocr.engine import Logits, Reading
from ocr.errors import BackendError
from PIL import Image

from tests.unit.ocr.conftest import Done, FakeEngine

Ocr = Callable[..., Done]
ENGLISH = "\n".join(smoke.TEXTS["en"])


@pytest.fixture(autouse=True)
def _no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "draw", lambda _lines: Image.new("RGB", (100, 100), "white"))


def _report(done: Done) -> Any:
    return json.loads(done.out.splitlines()[-1])


def test_text_that_is_right_passes_and_the_report_has_numbers(ocr: Ocr, engine: FakeEngine) -> None:
    engine.answers = [Reading(raw=ENGLISH, tokens=50, seconds_first_token=1e-9)]
    done = ocr("smoke", "--max-cer", "0.02")
    report = _report(done)
    assert (done.status, report["passed"], report["cer"], report["expect"]) == (0, True, 0.0, "text")
    assert report["summary"] == "character error rate: English 0.0000"
    assert (report["tokens"], report["seconds_first_token"], report["peak_memory_mb"]) == (50, 0.0, 123.0)
    assert (report["backend"], report["model"], report["device"], report["peak_memory_of"]) == (
        "fake", "tiny", "cpu", "RSS",
    )  # fmt: skip
    assert report["tokens_per_s"] > 0
    assert engine.closed == 0, "the process ends, which is sooner"


@pytest.mark.parametrize("raw", ["", "something else altogether, for certain", ENGLISH[: len(ENGLISH) // 2]])
def test_text_that_is_wrong_fails(ocr: Ocr, engine: FakeEngine, raw: str) -> None:
    engine.answers = [Reading(raw=raw)]
    done = ocr("smoke", "--max-cer", "0.2")
    assert (done.status, _report(done)["passed"]) == (10, False)


def test_languages_are_judged_each_for_itself(ocr: Ocr, engine: FakeEngine) -> None:
    engine.answers = [Reading(raw=ENGLISH)]
    report = _report(ocr("smoke", "--languages", "en,zh"))
    assert (report["passed"], report["cer_en"], report["cer_zh"], report["cer"]) == (False, 0.0, 1.0, 1.0)
    assert ocr("smoke", "--languages", "fr").status == 2


def test_plumbing_says_that_no_text_was_checked(ocr: Ocr, engine: FakeEngine) -> None:
    engine.answers = [Reading(raw="�_Des", tokens=64, logits=Logits(finite=True, width=512, expected_width=512))]
    done = ocr("smoke", "--expect", "plumbing")
    report = _report(done)
    assert (done.status, report["passed"], report["expect"], report["text_checked"]) == (0, True, "plumbing", False)
    assert "plumbing only" in report["summary"]
    assert "text was NOT checked" in report["summary"]
    assert "cer" not in report
    assert engine.asked[0][1].exact_tokens == 64


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (Reading(raw="", tokens=63, logits=Logits(finite=True)), "63 tokens came instead of 64"),
        (Reading(raw="", tokens=64, logits=Logits(finite=False)), "not finite"),
        (Reading(raw="", tokens=64, logits=Logits(finite=True, width=511, expected_width=512)), "511 logits"),
        (Reading(raw="", tokens=64), "did not show its logits"),
    ],
)
def test_plumbing_that_leaks_fails(ocr: Ocr, engine: FakeEngine, reading: Reading, said: str) -> None:
    engine.answers = [reading]
    done = ocr("smoke", "--expect", "plumbing")
    assert (done.status, said in _report(done)["summary"]) == (10, True)


def test_the_environment_says_what_to_expect_unless_the_command_does(
    ocr: Ocr, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.answers = [Reading(raw=ENGLISH, tokens=64, logits=Logits(finite=True))]
    monkeypatch.setenv("DEVENV_SMOKE_EXPECT", "plumbing")
    assert _report(ocr("smoke"))["expect"] == "plumbing"
    assert _report(ocr("smoke", "--expect", "text"))["expect"] == "text"
    monkeypatch.setenv("DEVENV_SMOKE_EXPECT", "nothing")
    assert ocr("smoke").status == 2


def test_an_engine_that_does_not_start_is_a_report_that_did_not_pass(
    ocr: Ocr, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_say: object) -> None:
        raise BackendError("the model folder is incomplete", hint="devenv prefetch")

    monkeypatch.setattr(engine, "load", fail)
    done = ocr("smoke")
    assert done.status == 10
    assert _report(done)["summary"] == "the model folder is incomplete"
    assert _report(done)["hint"] == "devenv prefetch"


@pytest.mark.parametrize("where", ["load", "read"])
def test_what_nobody_foresaw_is_a_report_that_did_not_pass(
    ocr: Ocr, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA driver version is insufficient for CUDA runtime version\nmore")

    monkeypatch.setattr(engine, where, fail)
    done = ocr("smoke")
    assert done.status == 10
    assert _report(done)["summary"] == (
        "transformers failed: RuntimeError: CUDA driver version is insufficient for CUDA runtime version"
    )
    assert "devenv doctor" in _report(done)["hint"]
    assert "Traceback" in done.err
    assert engine.closed == 1


def test_where_a_backend_failed_is_told_if_it_did_not_foresee_it(
    ocr: Ocr, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_say: object) -> None:
        raise BackendError("the model cannot be loaded: no kernel image") from RuntimeError("no kernel image")

    monkeypatch.setattr(engine, "load", fail)
    done = ocr("smoke")
    assert _report(done)["summary"] == "the model cannot be loaded: no kernel image"
    assert "RuntimeError: no kernel image" in done.err


def test_plumbing_says_what_a_backend_does_not_show(ocr: Ocr, engine: FakeEngine) -> None:
    engine.answers = [Reading(raw="", tokens=64, logits=Logits(finite=True))]
    report = _report(ocr("smoke", "--expect", "plumbing"))
    assert report["passed"]
    assert "finite logits, whose number the backend does not show" in report["summary"]
    assert "logits_width" not in report


def test_blank_draws_nothing(ocr: Ocr, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(smoke, "draw", lambda lines: drawn.append(list(lines)) or Image.new("RGB", (9, 9)))
    engine.answers = [Reading(raw="")]
    assert ocr("smoke", "--blank").status == 10
    assert drawn == [[]]


def test_english_needs_no_font_and_chinese_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(smoke, "_FONTS", ("/nowhere.ttc", "/nowhere.ttf"))
    page = smoke.draw(smoke.TEXTS["en"])
    assert min(page.convert("L").tobytes()) < 50
    assert set(smoke.draw(()).tobytes()) == {255}
    with pytest.raises(BackendError, match="no font with Chinese"):
        smoke.draw(smoke.TEXTS["zh"])
