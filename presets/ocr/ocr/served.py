"""A running server of `ocr serve` as an engine: what it reads, its clients get. The smoke test uses it."""

from __future__ import annotations

import base64
import http.client
import io
import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ocr.engine import Facts, Reading, Request, Say
from ocr.errors import BackendError, UsageError
from ocr.memory import peak_rss_mb
from ocr.serve import HOST, read_token

if TYPE_CHECKING:
    from PIL.Image import Image

_TIMEOUT_S = 600


class Served:
    """The server on 127.0.0.1 at a port. It is not started here, and not ended."""

    name = "served"
    streams = False
    concurrency = 1

    def __init__(self, port: int) -> None:
        self.model = ""
        self._port = port

    def check(self, request: Request) -> None:
        """It reads, and shows no logits."""
        if request.exact_tokens is not None:
            raise UsageError("a server shows no logits: its plumbing cannot be tested alone", hint="--expect text")

    def load(self, say: Say) -> Facts:
        """Ask for the model's name."""
        began = time.perf_counter()
        answer = self._asked("GET", "/v1/models")
        self.model = str(answer["data"][0]["id"])
        say(f"the server at port {self._port} has {self.model}")
        seconds = round(time.perf_counter() - began, 3)
        return Facts(backend=self.name, model=self.model, device="the server's", stages={"answer": seconds})

    def read(
        self,
        pictures: Sequence[Image],
        request: Request,
        on_text: Callable[[str], None] | None = None,  # noqa: ARG002  (it does not stream)
    ) -> Sequence[Reading]:
        """Read pictures, one after another."""
        return [self._one(picture, request) for picture in pictures]

    def peak_memory_mb(self) -> tuple[float, Literal["GPU", "RSS"]]:
        """This process's own: the model is in the server's."""
        return peak_rss_mb(), "RSS"

    def close(self) -> None:
        """The server goes on."""

    def _one(self, picture: Image, request: Request) -> Reading:
        data = io.BytesIO()
        picture.save(data, "PNG")
        url = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
        parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": request.prompt.text}]
        answer = self._asked("POST", "/v1/chat/completions", {
            "model": self.model,
            "messages": [{"role": "user", "content": parts}],
            "max_tokens": request.max_tokens,
            "temperature": 0,
            "vllm_xargs": {"ngram_size": request.guard.size, "window_size": request.guard.window},
        })  # fmt: skip
        choice = answer["choices"][0]
        return Reading(
            raw=str(choice["message"]["content"]),
            tokens=int(answer["usage"]["completion_tokens"]),
            finish="length" if choice["finish_reason"] == "length" else "stop",
        )

    def _asked(self, method: str, path: str, body: Any = None) -> Any:
        status, text = self._answer(method, path, None if body is None else json.dumps(body).encode())
        if status != http.client.OK:
            raise BackendError(
                f"the server at port {self._port} answers {path} with {status}: {text[:200]}", hint="see its log"
            )
        try:
            return json.loads(text)
        except ValueError:
            raise BackendError(f"the server at port {self._port} is not that of 'ocr serve'", hint="--port") from None

    def _answer(self, method: str, path: str, body: bytes | None) -> tuple[int, str]:
        """Not by urllib, which would ask the user's proxy."""
        token = read_token()
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        link = http.client.HTTPConnection(HOST, self._port, timeout=_TIMEOUT_S)
        try:
            link.request(method, path, body, headers)
            answer = link.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(
                f"no server answers at port {self._port}: {str(error) or type(error).__name__}", hint="ocr serve"
            ) from None
        finally:
            link.close()
