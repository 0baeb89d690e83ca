"""The server of transformers-cpu, without a socket and without PyTorch: requests, answers, refusals."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
import json
from typing import Any, cast

import pytest
from completions.engine import Completion, Engine
from completions.request import MOST_TOKENS, Request, RequestError, chat, text
from completions.server import application
from PIL import Image

NAME = "acme/Some-Model"


@dataclasses.dataclass(slots=True)
class FakeEngine:
    """Keeps what it was asked."""

    asked: list[Request] = dataclasses.field(default_factory=list)
    error: Exception | None = None

    def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return Completion(text="grün", prompt_tokens=7, tokens=3, finish="stop")


def _ask(engine: FakeEngine, path: str, body: Any, method: str = "POST") -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent: list[dict[str, Any]] = []

    async def act() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(dict(message))

        scope = {
            "type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "http_version": "1.1",
            "scheme": "http", "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "root_path": "", "raw_path": b"",
        }  # fmt: skip
        await application(cast("Engine", engine), NAME)(scope, receive, send)

    asyncio.run(act())
    body_ = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body_.decode()


def _chat(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": NAME, "messages": [{"role": "user", "content": content}], **more}


def _url(size: tuple[int, int] = (5, 4), kind: str = "PNG") -> str:
    data = io.BytesIO()
    mode = "RGB" if kind == "EPS" else "1" if size[0] > 1000 else "RGBA"  # a bit a pixel: a large one is quickly made
    Image.new(mode, size).save(data, kind)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _picture(url: Any) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}]


def test_a_chat_is_answered_as_openai_does() -> None:
    status, body = _ask(FakeEngine(), "/v1/chat/completions", _chat("hi"))
    value = json.loads(body)
    assert (status, value["object"], value["model"]) == (200, "chat.completion", NAME)
    assert value["choices"][0]["message"] == {"role": "assistant", "content": "grün"}
    assert value["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def test_a_text_is_continued() -> None:
    engine = FakeEngine()
    status, body = _ask(engine, "/v1/completions", {"prompt": "A lock", "max_tokens": 5, "stop": "\n"})
    assert (status, json.loads(body)["choices"][0]["text"]) == (200, "grün")
    assert (engine.asked[0].prompt, engine.asked[0].sampling.max_tokens) == ("A lock", 5)
    assert engine.asked[0].sampling.stop == ("\n",)


def test_a_stream_is_one_piece_and_an_end() -> None:
    _, body = _ask(FakeEngine(), "/v1/chat/completions", _chat("hi", stream=True))
    first, end = body.strip().split("\n\n")
    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"]["content"] == "grün"
    assert end == "data: [DONE]"


def test_pictures_come_as_data() -> None:
    engine = FakeEngine()
    assert _ask(engine, "/v1/chat/completions", _chat(_picture(_url())))[0] == 200
    (picture,) = engine.asked[0].pictures
    assert (picture.size, picture.mode) == ((5, 4), "RGB")


def test_health_and_the_model_need_no_body() -> None:
    assert _ask(FakeEngine(), "/health", b"", "GET")[0] == 200
    assert json.loads(_ask(FakeEngine(), "/v1/models", b"", "GET")[1])["data"][0]["id"] == NAME


@pytest.mark.parametrize(("body", "words"), [
    (b"{", "not a JSON object"), (b"[" * 100_000, "not a JSON object"), ({}, "'messages' is a list"),
    ({"messages": [1]}, "a 'role' and a 'content'"), (_chat(None), "a 'role' and a 'content'"), (_chat([1]), "a part of"),
    (_chat(_picture("https://example/x.png")), "this server fetches nothing"), (_chat(_picture(1)), "fetches nothing"),
    (_chat(_picture("data:image/png;base64,!!")), "cannot be read"),
    (_chat(_picture("data:image/png;base64," + base64.b64encode(b"x" * 99).decode())), "cannot be read"),
    (_chat(_picture(_url((8000, 7000)))), "more than 50,000,000 pixels"),
    (_chat([*_picture(_url((6000, 5000))), *_picture(_url((6000, 5000)))]), "more than 50,000,000 pixels"),
    (_chat(_picture(_url(kind="EPS"))), "cannot be read"), (_chat("x", stop=["a", ""]), "an empty text"),
    (_chat("x", max_tokens=0), "max_tokens is 1 or more"), (_chat("x", max_tokens="many"), "are numbers"),
    (_chat("x", temperature=3), "temperature 0 to 2"), (_chat("x", n=2), "neither 'n'"), (_chat("x", model=1), "'model'"),
])  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused(body: Any, words: str) -> None:
    engine = FakeEngine()
    status, answer = _ask(engine, "/v1/chat/completions", body)
    assert status == 400
    assert words in json.loads(answer)["error"]["message"]
    assert engine.asked == []


def test_another_models_request_is_not_answered() -> None:
    assert _ask(FakeEngine(), "/v1/completions", {"prompt": "x", "model": "other"})[0] == 404


def test_an_error_of_the_engine_is_an_answer_and_no_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert _ask(FakeEngine(error=RequestError("too long")), "/v1/completions", {"prompt": "x"})[0] == 400
    status, body = _ask(FakeEngine(error=RuntimeError("secret details")), "/v1/completions", {"prompt": "x"})
    assert (status, "secret" in body) == (500, False)
    assert "secret details" in capsys.readouterr().err


def test_without_a_number_the_longest_answer_is_the_servers() -> None:
    assert chat(json.dumps(_chat("x")).encode()).sampling.max_tokens == MOST_TOKENS
    assert chat(json.dumps(_chat("x", max_completion_tokens=9)).encode()).sampling.max_tokens == 9
    with pytest.raises(RequestError, match="'prompt' is a text"):
        text(b'{"prompt": [1]}')
