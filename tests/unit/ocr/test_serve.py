"""The small server, without a socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ocr import backends, serve, smoke
from ocr.ahead import Ahead
from ocr.backends import Settings
from ocr.engine import Reading
from ocr.errors import BackendError
from ocr.served import Served
from PIL import Image

from tests.unit.ocr.conftest import Done, FakeEngine
from tests.unit.ocr.test_model import checkpoint

Ocr = Callable[..., Done]
TOKEN = "secret"


def _url(size: tuple[int, int] = (9, 9)) -> str:
    data = io.BytesIO()
    Image.new("RGB", size).save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _body(url: Any = None, **more: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url or _url()}}, {"type": "text", "text": "<image>\nFree OCR."}]
    return {"model": "any", "messages": [{"role": "user", "content": parts}], **more}


def _ask(engine: FakeEngine, path: str, body: Any = None, token: str | None = TOKEN) -> tuple[int, str]:
    """One request to the application itself; (status, body)."""
    facts = engine.load(lambda _: None)
    application = serve.application(engine, facts, TOKEN)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent: list[Any] = []

    async def run() -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        scope = {
            "type": "http", "method": "GET" if body is None else "POST", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http",
            "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1), "root_path": "",
        }  # fmt: skip
        await application(scope, receive, send)  # type: ignore[arg-type]

    asyncio.run(run())
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:]).decode()


@pytest.fixture
def fake() -> FakeEngine:
    return FakeEngine(answers=[Reading(raw="read", tokens=5, finish="length")])


@pytest.mark.parametrize("failure", [None, KeyboardInterrupt()])
def test_the_engine_is_given_up_with_the_server(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, failure: BaseException | None
) -> None:
    closed: list[int] = []

    def run(*_: object, **options: object) -> None:
        closed.append(fake.closed)
        assert options["host"] == "127.0.0.1"
        if failure:
            raise failure

    uvicorn = types.ModuleType("uvicorn")
    uvicorn.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uvicorn", uvicorn)
    monkeypatch.setattr(backends, "make", lambda *_: fake)
    with pytest.raises(KeyboardInterrupt) if failure else contextlib.nullcontext():
        serve.serve("transformers", Settings(), port=8000, further=(), say=print)
    assert closed == [0]
    assert fake.closed == 1


def test_a_picture_is_read(fake: FakeEngine) -> None:
    status, text = _ask(
        fake, "/v1/chat/completions", _body(max_tokens=50, vllm_xargs={"ngram_size": 20, "window_size": 50})
    )
    answer = json.loads(text)
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "read"
    assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 5)
    (_, request) = fake.asked[0]
    assert (request.prompt.text, request.max_tokens, request.guard.size, request.guard.window) == (
        "Free OCR.",
        50,
        20,
        50,
    )


def test_the_models(fake: FakeEngine) -> None:
    status, text = _ask(fake, "/v1/models")
    assert (status, json.loads(text)["data"][0]["id"]) == (200, "tiny")


def test_it_says_that_it_is_there_to_anyone(fake: FakeEngine) -> None:
    assert _ask(fake, "/health", token=None) == (200, "")


def test_an_answer_can_be_streamed(fake: FakeEngine) -> None:
    _, text = _ask(fake, "/v1/chat/completions", _body(stream=True))
    first, last = text.strip().split("\n\n")
    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"]["content"] == "read"
    assert last == "data: [DONE]"


@pytest.mark.parametrize("token", [None, "", "wrong", "secre", "sécret"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions"])
def test_nobody_comes_in_without_the_token(fake: FakeEngine, token: str | None, path: str) -> None:
    status, _ = _ask(fake, path, None if path == "/v1/models" else _body(), token)
    assert (status, fake.asked) == (401, [])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"no json", "no chat request"),
        ({}, "no chat request"),
        ({"messages": 7}, "no chat request"),
        ({"messages": [{"content": "only text"}]}, "there are 0"),
        (_body("http://169.254.169.254/secret"), "data URIs"),
        (_body("file:///etc/passwd"), "data URIs"),
        (_body("data:image/png,abc"), "base64"),
        (_body("data:image/png;base64,???"), "not base64"),
        (_body("data:image/png;base64,aGVsbG8="), "not an image"),
        (_body(["x"]), "data URIs"),
        (_body(vllm_xargs={"ngram_size": "many"}), "no chat request"),
        (_body(vllm_xargs={"ngram_size": 90, "window_size": 30}), "no guard"),
    ],
)
def test_what_is_no_request_is_refused_and_nothing_is_fetched(fake: FakeEngine, body: Any, said: str) -> None:
    status, text = _ask(fake, "/v1/chat/completions", body)
    assert status == 400
    assert said in json.loads(text)["error"]["message"]
    assert fake.asked == []


def test_too_much_is_refused(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_LARGEST", 100)
    assert _ask(fake, "/v1/chat/completions", _body())[0] == 413


def test_an_engine_that_fails_is_a_server_error(fake: FakeEngine) -> None:
    fake.answers = [BackendError("not enough memory")]
    status, text = _ask(fake, "/v1/chat/completions", _body())
    assert (status, json.loads(text)["error"]["message"]) == (500, "not enough memory")


def test_the_token_is_the_environments_own(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    assert serve.read_token(tmp_path / "token") == "abc"
    assert serve.read_token(tmp_path / "none") is None


def test_vllm_gets_the_token_as_a_variable_and_not_as_an_argument(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class _Left(Exception):
        pass

    became: list[Any] = []

    def become(*arguments: Any) -> None:
        became.extend(arguments)
        raise _Left

    monkeypatch.setattr(serve, "read_token", lambda: TOKEN)
    monkeypatch.setattr("os.execvpe", become)
    monkeypatch.setenv("OCR_GPU_SHARE", "0.6")
    with pytest.raises(_Left):
        serve.serve("vllm", Settings(model=checkpoint(tmp_path / "m")), port=8000, further=(), say=lambda _: None)
    program, command, env = became
    assert program == "vllm"
    assert TOKEN not in " ".join(command)
    assert env["VLLM_API_KEY"] == TOKEN
    assert env["VLLM_USE_V2_MODEL_RUNNER"] == "0"
    assert env["VLLM_LOGGING_STREAM"] == "ext://sys.stderr"
    assert command[command.index("--gpu-memory-utilization") + 1] == "0.6"


def test_things_are_made_ahead_in_order_and_errors_come_out_where_they_would() -> None:
    with Ahead(range(50), 3) as taken:
        assert list(taken) == list(range(50))
        assert taken.is_over

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with Ahead(failing(), 5) as taken:
        assert taken.take() == 1
        assert not taken.is_over
        with pytest.raises(ValueError, match="no more"):
            taken.take()
        assert taken.is_over


def test_what_is_not_taken_is_not_made_for_ever() -> None:
    import itertools
    import threading

    before = threading.active_count()
    with Ahead(itertools.count(), 2) as taken:
        assert [taken.take(), taken.take()] == [0, 1]
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


@pytest.mark.parametrize(("room", "most"), [(25, 3), (10, 2), (5, 2), (0, 2)])
def test_things_ahead_weigh_no_more_than_there_is_room_for(room: int, most: int) -> None:
    made: list[int] = []

    def things() -> Iterator[int]:
        for number in range(9):
            made.append(number)
            yield number

    with Ahead(things(), 100, lambda _: 10, room) as taken:
        for number, one in enumerate(taken):
            assert one == number
            time.sleep(0.05)  # time enough to make all of them
            assert len(made) - number - 1 <= most  # one may be in hand, for which there is no room yet
    assert len(made) == 9


def test_a_thing_that_is_not_ready_or_does_not_fit_is_left() -> None:
    import threading

    go_on = threading.Event()

    def things() -> Iterator[int]:
        go_on.wait(10)
        yield 1
        yield 2

    with Ahead(things(), 5) as taken:
        assert taken.take(wait=False) is None
        assert not taken.is_over
        go_on.set()
        assert taken.take(fits=lambda thing: thing > 1) is None
        assert [taken.take(), taken.take(), taken.take()] == [1, 2, None]
        assert taken.is_over


# ---- the smoke test of a server


@pytest.fixture
def listening(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The server of this engine, reached without a socket."""

    def answer(_: Served, method: str, path: str, body: bytes | None) -> tuple[int, str]:
        assert (method == "POST") == (body is not None)
        return _ask(fake, path, body)

    monkeypatch.setattr(Served, "_answer", answer)
    monkeypatch.setattr(smoke, "draw", lambda _: Image.new("RGB", (9, 9)))
    return fake


def test_a_server_passes_the_smoke_test_when_it_reads_right(
    listening: FakeEngine, ocr: Ocr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "make", lambda *_: pytest.fail("an engine of its own was made"))
    listening.answers = [Reading(raw="\n".join(smoke.TEXTS["en"]), tokens=40)]
    done = ocr("smoke", "--port", "8601")
    report = json.loads(done.out.splitlines()[-1])
    assert (done.status, report["passed"], report["backend"], report["model"]) == (0, True, "served", "tiny")
    (_, request) = listening.asked[0]
    assert (request.prompt.text, request.guard.size, request.guard.window) == ("Free OCR.", 30, 90)
    assert listening.closed == 0


@pytest.mark.parametrize("answer", [Reading(raw="something else"), BackendError("the GPU is gone")])
def test_one_that_does_not_fails_it(listening: FakeEngine, ocr: Ocr, answer: Any) -> None:
    listening.answers = [answer]
    done = ocr("smoke", "--port", "8601")
    report = json.loads(done.out.splitlines()[-1])
    assert (done.status, report["passed"]) == (10, False)
    if isinstance(answer, BackendError):
        assert "500" in report["summary"]
        assert "the GPU is gone" in report["summary"]


def test_a_server_cannot_be_tested_for_plumbing(listening: FakeEngine, ocr: Ocr) -> None:
    assert ocr("smoke", "--port", "8601", "--expect", "plumbing").status == 2
    assert listening.asked == []


def test_without_a_server_the_port_is_named(monkeypatch: pytest.MonkeyPatch, ocr: Ocr) -> None:
    class Connection:
        def __init__(self, *_: object, **__: object) -> None: ...

        def request(self, *_: object) -> None:
            raise ConnectionRefusedError(111, "Connection refused")

        def close(self) -> None: ...

    monkeypatch.setattr("ocr.served.http.client.HTTPConnection", Connection)
    report = json.loads(ocr("smoke", "--port", "8601").out.splitlines()[-1])
    assert (report["passed"], report["hint"]) == (False, "ocr serve")
    assert "no server answers at port 8601" in report["summary"]
