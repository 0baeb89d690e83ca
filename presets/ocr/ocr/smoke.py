"""The smoke test: pictures drawn here are read by the same code as any other, and the text is compared."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr import backends, guard, modes, prompts
from ocr.backends import Settings
from ocr.cer import error_rate
from ocr.engine import Backend, Facts, Reading, Request
from ocr.errors import BackendError, OcrError, UsageError, explained
from ocr.markdown import plain
from ocr.output import understood
from ocr.served import Served

if TYPE_CHECKING:
    from PIL.Image import Image

_FONTS = (
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)
TEXTS = {
    "en": (
        "INVOICE No. 2025-0417",
        "Northwind Paper Company, 48 Harbour Street",
        "12 boxes of copy paper, A4, 80 g",
        "Total due within 30 days: 338.40 EUR",
    ),
    "zh": (
        "发票号码：20250417",
        "购买方：北京清河科技有限公司",
        "复印纸十二箱，单价二十三元五角",
        "合计金额：贰佰捌拾贰元整",
    ),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """What is read, and how it ends: the report's own part."""

    expect: str
    backend: Backend
    facts: Facts
    reading: Reading
    text: str
    seconds_first_token: float | None
    seconds_read: float


def smoke(
    backend: str,
    settings: Settings,
    *,
    began: float,
    expect: str | None,
    max_cer: float,
    languages: str,
    mode: str,
    tokens: int,
    blank: bool,
    port: int | None,
) -> dict[str, Any]:
    """Run it; the report. Raises UsageError; whatever else goes wrong is a report that did not pass."""
    told = os.environ.get("DEVENV_SMOKE_EXPECT") or "text"
    expect = expect or ("text" if told == "result" else told)  # devenv's variable with what to check
    if expect not in {"text", "plumbing"}:
        raise UsageError(f"DEVENV_SMOKE_EXPECT is {expect!r}", hint="result or plumbing")
    wanted = [one.strip() for one in languages.split(",")]
    if unknown := [one for one in wanted if one not in TEXTS]:
        raise UsageError(f"there is no text in {unknown[0]!r}", hint=f"languages: {', '.join(TEXTS)}")

    def say(text: str) -> None:
        print(f"{time.perf_counter() - began:6.2f} s  {text}", file=sys.stderr, flush=True)

    request = Request(
        prompt=prompts.prompt("free"),
        mode=modes.mode(mode),
        guard=guard.BY_JOB["image"],
        exact_tokens=tokens if expect == "plumbing" else None,
        max_tokens=tokens if expect == "plumbing" else 1024,
    )
    try:
        engine = Served(port) if port else backends.make(backend, settings)
        engine.check(request)
        with contextlib.ExitStack() as failing:  # when all is well the process ends, and its engine with it
            failing.callback(engine.close)
            facts = engine.load(say)
            loaded = time.perf_counter()
            test = _read(engine, facts, request, () if blank else wanted, expect, say)
            numbers = _numbers(test, loaded - began)
            failing.pop_all()
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001  (any error fails the test, and the report names it)
        if error.__cause__ is not None or not isinstance(error, OcrError):  # unexpected, here or in the backend
            traceback.print_exc()
        hint = "see the traceback above; devenv doctor checks the GPU"
        why = explained(error, f"{backend} failed", BackendError, hint)
        say(f"error: {why.message}" + (f"; {why.hint}" if why.hint else ""))
        return {"passed": False, "expect": expect, "summary": why.message, "hint": why.hint, "backend": backend}
    judged = _plumbing(test, tokens) if expect == "plumbing" else _text(test, wanted, max_cer)
    say(judged["summary"])
    return {**judged, **numbers}


def _read(
    engine: Backend, facts: Facts, request: Request, wanted: Sequence[str], expect: str, say: Callable[[str], None]
) -> _Test:
    picture = draw([line for language in wanted for line in TEXTS[language]])
    began = time.perf_counter()
    first: list[float] = []
    reading = engine.read([picture], request, lambda _: first.append(time.perf_counter()))[0]
    seconds = time.perf_counter() - began
    until = reading.seconds_first_token or (first[0] - began if first else None)
    if until is not None:
        say(f"first token after {until:.2f} s")
    say(f"read in {seconds:.2f} s" + (f", {reading.tokens} tokens" if reading.tokens else ""))
    text = reading.raw if reading.blocks is not None else plain(understood(reading, picture.size, request), {})
    return _Test(
        expect=expect, backend=engine, facts=facts, reading=reading, text=text, seconds_first_token=until,
        seconds_read=seconds,
    )  # fmt: skip


def draw(lines: Sequence[str]) -> Image:
    """A white page with one line of text below another. Raises BackendError where Chinese has no font."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (1000, 640), "white")
    pen = ImageDraw.Draw(page)
    font: Any = None
    for path in _FONTS[:1] if any(not line.isascii() for line in lines) else _FONTS:
        if Path(path).is_file():
            font = ImageFont.truetype(path, 34)
            break
    if font is None and all(line.isascii() for line in lines):
        font = ImageFont.load_default(34)  # Pillow's own, Latin only
    if font is None:
        raise BackendError("there is no font with Chinese", hint="apt: fonts-wqy-microhei, or --languages en")
    for number, line in enumerate(lines):
        pen.text((60, 40 + 70 * number), line, font=font, fill="black")
    return page


def _text(test: _Test, wanted: Sequence[str], max_cer: float) -> dict[str, Any]:
    """Each language's lines against those drawn, by the share of wrong characters."""
    lines = [line for line in test.text.splitlines() if line.strip()]
    found = {
        "zh": "".join(line for line in lines if _is_chinese(line)),
        "en": "".join(line for line in lines if not _is_chinese(line)),
    }
    rates = {one: round(error_rate(found[one], "".join(TEXTS[one])), 4) for one in wanted}
    names = {"en": "English", "zh": "Chinese"}
    said = ", ".join(f"{names[one]} {rate:.4f}" for one, rate in rates.items())
    return {
        "passed": all(rate <= max_cer for rate in rates.values()),
        "expect": "text",
        "summary": f"character error rate: {said}",
        "max_cer": max_cer,
        "cer": max(rates.values()),
        **{f"cer_{one}": rate for one, rate in rates.items()},
    }


def _plumbing(test: _Test, tokens: int) -> dict[str, Any]:
    """Whether as many tokens came as were asked for, from logits that are finite and as wide as the vocabulary."""
    logits = test.reading.logits
    wrong = []
    if test.reading.tokens != tokens:
        wrong.append(f"{test.reading.tokens} tokens came instead of {tokens}")
    if logits is None:
        wrong.append("the backend did not show its logits")
    else:
        if not logits.finite:
            wrong.append("some logits were not finite")
        if logits.width != logits.expected_width:
            wrong.append(f"{logits.width} logits for a vocabulary of {logits.expected_width}")
    seen = "finite logits" if logits and logits.width else "finite logits, whose number the backend does not show"
    verdict = "; ".join(wrong) if wrong else f"{tokens} tokens from {seen}"
    return {
        "passed": not wrong,
        "expect": "plumbing",
        "summary": f"plumbing only: {verdict}. The text was NOT checked: this is no proof that OCR works",
        "text_checked": False,
        **({"logits_width": logits.width} if logits and logits.width else {}),
    }


def _numbers(test: _Test, seconds_load: float) -> dict[str, Any]:
    memory, kind = test.backend.peak_memory_mb()
    first = test.seconds_first_token
    tokens = test.reading.tokens
    following = test.seconds_read - (first or 0)
    return {
        "backend": test.facts.backend,
        "model": test.facts.model,
        "device": test.facts.device,
        "seconds_load": round(seconds_load, 3),
        "seconds_read": round(test.seconds_read, 3),
        "seconds_first_token": None if first is None else round(first, 3),
        "seconds_generate": None if first is None else round(following, 3),
        "tokens": tokens,
        "tokens_per_s": round((tokens - 1) / following, 1) if tokens > 1 and following > 0 else None,
        "peak_memory_mb": memory,
        "peak_memory_of": kind,
        "stages": dict(test.facts.stages),
        **test.facts.notes,
        "text": test.text if test.expect == "text" else test.text[:200],
    }


def _is_chinese(line: str) -> bool:
    return any("\u4e00" <= sign <= "\u9fff" for sign in line)
