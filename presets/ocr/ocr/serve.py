"""`ocr serve`: the OpenAI API on 127.0.0.1, by vLLM itself or by a small server round any other backend."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import io
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ocr import backends, guard, modes
from ocr.backends import Settings
from ocr.checkpoint import Checkpoint
from ocr.engine import MAX_TOKENS, Backend, Facts, Reading, Request
from ocr.errors import BackendError, InputError, OcrError, UsageError
from ocr.page import opened
from ocr.prompts import Prompt

if TYPE_CHECKING:
    from PIL.Image import Image
    from starlette.applications import Starlette

HOST = "127.0.0.1"
TOKEN = Path("/run/devenv/token")
_LARGEST = 64 * 1024 * 1024
_DATA = "data:"


def serve(name: str, settings: Settings, *, port: int, further: tuple[str, ...], say: Callable[[str], None]) -> int:
    """Serve until interrupted. Raises OcrError."""
    token = read_token()
    say(f"http://{HOST}:{port}/v1, " + ("the token is in " + str(TOKEN) if token else "no token: open to this machine"))
    if name == "vllm":
        from ocr.backends.vllm import environment, serve_command

        if settings.model is None:
            raise BackendError("vllm needs a model", hint="--model FOLDER, or DEVENV_MODEL")
        name = Checkpoint.read(settings.model).title.partition("@")[0]
        say(f"clients call the model {name}")
        environment()
        _become(serve_command(settings.model, name, HOST, port, further), token)
    if further:
        raise UsageError(f"only vllm takes {further[0]!r}", hint="leave it out")
    try:
        import uvicorn
    except ImportError:
        raise BackendError("uvicorn is not installed", hint="pip install starlette uvicorn") from None
    engine = backends.make(name, settings)
    with contextlib.closing(engine):
        facts = engine.load(say)
        uvicorn.run(application(engine, facts, token), host=HOST, port=port, log_level="warning", access_log=False)
    return 0


def read_token(path: Path = TOKEN) -> str | None:
    """The environment's own token; None where there is none."""
    try:
        return path.read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def _become(command: list[str], token: str | None) -> NoReturn:
    """Go on as another program. The token is a variable: arguments can be read by every user."""
    env = {**os.environ, **({"VLLM_API_KEY": token} if token else {})}
    try:
        os.execvpe(command[0], command, env)  # noqa: S606  (that is the point)
    except OSError as error:
        raise BackendError(f"cannot start {command[0]}: {error.strerror}", hint="use a preset with vLLM") from None


def application(engine: Backend, facts: Facts, token: str | None) -> Starlette:
    """The server's application. One request is read at a time."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request as HttpRequest
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    turn = threading.Lock()

    def refused(status: int, message: str) -> Response:
        return JSONResponse({"error": {"message": message, "type": "invalid_request_error"}}, status)

    def may(request: HttpRequest) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return token is None or hmac.compare_digest(given.encode(), token.encode())

    async def models(request: HttpRequest) -> Response:
        if not may(request):
            return refused(401, "the token is missing or wrong")
        return JSONResponse({"object": "list", "data": [{"id": facts.model, "object": "model", "owned_by": "local"}]})

    async def completions(request: HttpRequest) -> Response:
        if not may(request):
            return refused(401, "the token is missing or wrong")
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > _LARGEST:
                return refused(413, f"more than {_LARGEST >> 20} MiB")
        try:
            picture, asked, stream = understood(bytes(body))
            reading = await run_in_threadpool(read, picture, asked)
        except OcrError as error:
            return refused(500 if isinstance(error, BackendError) else 400, error.message)
        answer = completion(reading, facts)
        if not stream:
            return JSONResponse(answer)
        return Response("".join(_events(answer)), media_type="text/event-stream")

    async def health(_: HttpRequest) -> Response:
        return Response()

    def read(picture: Image, asked: Request) -> Reading:
        with turn:
            return engine.read([picture], asked)[0]

    return Starlette(
        routes=[
            Route("/health", health, methods=["GET"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/v1/chat/completions", completions, methods=["POST"]),
        ]
    )


def understood(body: bytes) -> tuple[Image, Request, bool]:
    """What a chat request asks: the picture, the question, whether to stream. Raises InputError, UsageError."""
    try:
        value: Any = json.loads(body)
        parts = [
            part
            for message in value["messages"]
            for part in (message["content"] if isinstance(message["content"], list) else [message["content"]])
        ]
        urls = [
            part["image_url"]["url"] for part in parts if isinstance(part, dict) and part.get("type") == "image_url"
        ]
        texts = [part if isinstance(part, str) else part.get("text") for part in parts]
        text = "\n".join(one for one in texts if isinstance(one, str)).replace("<image>", "").strip()
        most = int(value.get("max_tokens") or value.get("max_completion_tokens") or MAX_TOKENS)
        more = value.get("vllm_xargs") or {}
        size, window = int(more.get("ngram_size") or 30), int(more.get("window_size") or 90)
        stream = bool(value.get("stream"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError("the body is no chat request", hint="POST the JSON that OpenAI's clients send") from None
    if len(urls) != 1:
        raise InputError(f"one picture is read at a time, and there are {len(urls)}", hint="one image_url part")
    request = Request(
        prompt=Prompt(name="free", text=text or "Free OCR."),
        mode=modes.mode(modes.DEFAULT),
        guard=guard.parse(f"{size}/{window}"),
        max_tokens=min(max(most, 1), MAX_TOKENS),
    )
    return _picture(urls[0]), request, stream


def completion(reading: Reading, facts: Facts) -> dict[str, Any]:
    """The answer as OpenAI's API has it."""
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": facts.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": reading.raw},
                "finish_reason": reading.finish,
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": reading.tokens, "total_tokens": reading.tokens},
    }


def _events(answer: dict[str, Any]) -> list[str]:
    """The same as server-sent events: all of the text in one piece."""
    choice = answer["choices"][0]
    chunk = {
        **{key: value for key, value in answer.items() if key != "usage"},
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": choice["message"], "finish_reason": choice["finish_reason"]}],
    }
    return [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n", "data: [DONE]\n\n"]


def _picture(url: Any) -> Image:
    """The picture in a data URI. Others are refused: this server fetches nothing."""
    if not isinstance(url, str) or not url.startswith(_DATA):
        raise InputError("pictures come as data URIs", hint="data:image/png;base64,…")
    head, _, data = url.removeprefix(_DATA).partition(",")
    if not head.endswith(";base64"):
        raise InputError("pictures come in base64", hint="data:image/png;base64,…")
    try:
        return opened(io.BytesIO(base64.b64decode(data, validate=True)), "the picture")
    except binascii.Error:
        raise InputError("the picture is not base64", hint="data:image/png;base64,…") from None
