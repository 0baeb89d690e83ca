"""OpenAI's API on 127.0.0.1. The environment's gateway before it asks for the token."""

from __future__ import annotations

import json
import secrets
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from completions.engine import Completion, Engine
from completions.request import Request, RequestError, chat, text

if TYPE_CHECKING:
    from starlette.applications import Starlette

HOST = "127.0.0.1"
_LARGEST = 64 * 1024 * 1024


def serve(engine: Engine, name: str, port: int) -> int:
    """Serve until interrupted."""
    import uvicorn

    print(f"http://{HOST}:{port}/v1 has {name}", flush=True)
    uvicorn.run(application(engine, name), host=HOST, port=port, log_level="warning", access_log=False)
    return 0


def application(engine: Engine, name: str) -> Starlette:
    """The server's application. One request is answered at a time."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request as HttpRequest
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    turn = threading.Lock()

    def act(request: Request) -> Completion:
        with turn:
            return engine.complete(request)

    async def answered(http: HttpRequest, read: Callable[[bytes], Request], kind: str) -> Response:
        body = bytearray()
        async for piece in http.stream():
            body += piece
            if len(body) > _LARGEST:
                return _refused(413, f"more than {_LARGEST >> 20} MiB")
        try:
            request = read(bytes(body))
            if request.model not in {None, name}:
                return _refused(404, f"the model is {name}, not {request.model!r}")
            completion = await run_in_threadpool(act, request)
        except RequestError as error:
            return _refused(400, str(error))
        except Exception as error:  # noqa: BLE001  (a library's; the server goes on)
            traceback.print_exc()
            return _refused(500, f"{type(error).__name__}: the server's log has more")
        made = answer(completion, name, kind)
        if not request.stream:
            return JSONResponse(made)
        return Response("".join(events(made)), media_type="text/event-stream")

    async def chats(http: HttpRequest) -> Response:
        return await answered(http, chat, "chat.completion")

    async def texts(http: HttpRequest) -> Response:
        return await answered(http, text, "text_completion")

    async def models(_: HttpRequest) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "local"}]})

    async def health(_: HttpRequest) -> Response:
        return Response()

    def _refused(status: int, message: str) -> Response:
        return JSONResponse({"error": {"message": message, "type": "invalid_request_error"}}, status)

    return Starlette(
        routes=[
            Route("/health", health, methods=["GET"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/v1/chat/completions", chats, methods=["POST"]),
            Route("/v1/completions", texts, methods=["POST"]),
        ]
    )


def answer(completion: Completion, name: str, kind: str) -> dict[str, Any]:
    """A completion as OpenAI's API has it. `kind`: `chat.completion` or `text_completion`."""
    is_chat = kind == "chat.completion"
    said: dict[str, Any] = (
        {"message": {"role": "assistant", "content": completion.text}} if is_chat else {"text": completion.text}
    )
    total = completion.prompt_tokens + completion.tokens
    return {
        "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": name,
        "choices": [{"index": 0, **said, "finish_reason": completion.finish}],
        "usage": {
            "prompt_tokens": completion.prompt_tokens, "completion_tokens": completion.tokens, "total_tokens": total,
        },
    }  # fmt: skip


def events(made: dict[str, Any]) -> list[str]:
    """The same as server-sent events: all of the text in one piece."""
    choice = made["choices"][0]
    chunk = {key: value for key, value in made.items() if key != "usage"}
    if "message" in choice:
        delta = {"index": 0, "delta": choice["message"], "finish_reason": choice["finish_reason"]}
        chunk |= {"object": "chat.completion.chunk", "choices": [delta]}
    return [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n", "data: [DONE]\n\n"]
