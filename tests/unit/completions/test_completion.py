"""The smoke test of `init --model`: what counts as a completion."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from completions.request import chat, text
from PIL import Image

FILE = Path(__file__).parents[3] / "presets" / "completions" / "completion.py"
MODEL = "acme/Some-Model"


@pytest.fixture
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("completion_check", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _answer(content: Any = "Red and blue.", tokens: Any = 4, model: str = MODEL, **more: Any) -> str:
    message = {"role": "assistant", "content": content, **more}
    return json.dumps({"model": model, "choices": [{"message": message}], "usage": {"completion_tokens": tokens}})


def _served(monkeypatch: pytest.MonkeyPatch, check: ModuleType, answer: tuple[int, str]) -> list[Any]:
    asked: list[Any] = []

    def ask(_port: int, method: str, path: str, value: Any = None) -> tuple[int, str]:
        asked.append((method, path, value))
        if path == "/health":
            if len(asked) < 3:
                raise ConnectionRefusedError
            return 200, ""
        return answer

    monkeypatch.setattr(check, "ask", ask)
    monkeypatch.setattr(check.time, "sleep", lambda _: None)
    return asked


def test_it_waits_for_the_server_and_passes_with_a_text(monkeypatch: pytest.MonkeyPatch, check: ModuleType) -> None:
    asked = _served(monkeypatch, check, (200, _answer()))
    report = check.completion(MODEL, 8601, "picture", 60)
    assert (report["passed"], report["tokens"], report["text"]) == (True, 4, "Red and blue.")
    assert [path for _, path, _ in asked] == ["/health"] * 3 + ["/v1/chat/completions"]


@pytest.mark.parametrize(("answer", "words"), [
    ((200, _answer("")), "the completion is empty"), ((200, _answer(" \n")), "the completion is empty"),
    ((200, _answer(tokens=0)), "the completion is empty (0 tokens)"), ((200, _answer(model="other")), "of the model 'other'"),
    ((200, "{}"), "is no completion"), ((200, "<html>"), "is no completion"), ((200, _answer(tokens=None)), "is no completion"),
    ((404, "no such model"), "with 404: no such model"),
])  # fmt: skip
def test_anything_else_fails(
    monkeypatch: pytest.MonkeyPatch, check: ModuleType, answer: tuple[int, str], words: str
) -> None:
    _served(monkeypatch, check, answer)
    report = check.completion(MODEL, 8601, "chat", 60)
    assert report["passed"] is False
    assert words in report["summary"]


def test_a_model_that_thinks_first_may_not_get_further(check: ModuleType) -> None:
    assert check.judged(_answer(None, reasoning_content="The picture"), MODEL, "chat", 1.0)["passed"] is True
    assert check.judged(_answer(None), MODEL, "chat", 1.0)["passed"] is False


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, check: ModuleType) -> None:
    monkeypatch.setattr(check, "ready", lambda _: False)
    assert check.completion(MODEL, 8601, "chat", -1)["summary"] == "no server was ready at port 8601"


def test_the_last_line_is_the_report_and_the_status_its_result(
    monkeypatch: pytest.MonkeyPatch, check: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["completion.py", "--model", MODEL, "--text"])
    answer = {"model": MODEL, "choices": [{"text": " more"}], "usage": {"completion_tokens": 2}}
    _served(monkeypatch, check, (200, json.dumps(answer)))
    assert check.main() == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "text"
    _served(monkeypatch, check, (500, ""))
    assert check.main() == 1


@pytest.mark.parametrize("kind", ["chat", "picture", "text"])
def test_the_server_understands_what_it_asks(check: ModuleType, kind: str) -> None:
    data = json.dumps(check.body(MODEL, kind)).encode()
    request = text(data) if kind == "text" else chat(data)
    assert (request.model, request.sampling.temperature) == (MODEL, 0)
    assert len(request.pictures) == (kind == "picture")


def test_its_picture_is_red_and_blue(check: ModuleType) -> None:
    picture = Image.open(io.BytesIO(check.picture())).convert("RGB")
    assert (picture.size, picture.getpixel((10, 10)), picture.getpixel((200, 200))) == (
        (224, 224),
        (220, 40, 40),
        (40, 60, 220),
    )
