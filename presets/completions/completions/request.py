"""A client's request as values: what OpenAI's clients send, checked. Pictures come as data URIs: nothing is fetched."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_TOKENS = 4096
"""Of an answer, where the client names no number."""
_MOST_PIXELS = 50_000_000
"""Of all pictures of a request together: packed, a large one takes next to nothing."""
_FORMATS = ("PNG", "JPEG", "WEBP")


class RequestError(Exception):
    """The request cannot be served as it is: the client gets the text with status 400."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the answer is chosen. `temperature` 0: always the likeliest token."""

    max_tokens: int = MOST_TOKENS
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Either `messages` (`{role, content}`, where content is a list of `{type, text}` and `{type, image}`) or a text to
    continue."""

    messages: tuple[Mapping[str, Any], ...] = ()
    prompt: str = ""
    sampling: Sampling = Sampling()
    stream: bool = False
    model: str | None = None
    """The model that the client names."""

    @property
    def pictures(self) -> tuple[Image, ...]:
        """The pictures of all messages, in their order."""
        return tuple(part["image"] for message in self.messages for part in message["content"] if "image" in part)


def chat(body: bytes) -> Request:
    """What a body for `/v1/chat/completions` asks. Raises RequestError."""
    value = _object(body)
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("'messages' is a list of messages")
    pictures = _Pictures()
    return Request(messages=tuple(_message(each, pictures) for each in messages), **_common(value))


def text(body: bytes) -> Request:
    """What a body for `/v1/completions` asks. Raises RequestError."""
    value = _object(body)
    prompt = value.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise RequestError("'prompt' is a text")
    return Request(prompt=prompt, **_common(value))


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RequestError("the body is not a JSON object")
    if value.get("n", 1) != 1 or value.get("tools") or value.get("logprobs"):
        raise RequestError("this server knows neither 'n', nor 'tools', nor 'logprobs'")
    return value


def _common(value: Mapping[str, Any]) -> dict[str, Any]:
    model = value.get("model")
    if not isinstance(model, str | None):
        raise RequestError("'model' is a name")
    return {"sampling": _sampling(value), "stream": bool(value.get("stream")), "model": model}


def _sampling(value: Mapping[str, Any]) -> Sampling:
    most = value.get("max_completion_tokens", value.get("max_tokens"))
    stop = value.get("stop") or []
    try:
        sampling = Sampling(
            max_tokens=MOST_TOKENS if most is None else int(most),
            temperature=float(value.get("temperature", 1.0)),
            top_p=float(value.get("top_p", 1.0)),
            stop=(stop,) if isinstance(stop, str) else tuple(map(str, stop)),
        )
    except (TypeError, ValueError, OverflowError):
        raise RequestError("max_tokens, temperature and top_p are numbers; stop is a text or a list") from None
    if "" in sampling.stop:
        raise RequestError("'stop' has an empty text")
    if sampling.max_tokens < 1 or not 0 <= sampling.temperature <= 2 or not 0 < sampling.top_p <= 1:
        raise RequestError("max_tokens is 1 or more, temperature 0 to 2, top_p more than 0 and at most 1")
    return sampling


def _message(value: Any, pictures: _Pictures) -> Mapping[str, Any]:
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, str | list) or not isinstance(value.get("role"), str):
        raise RequestError("a message has a 'role' and a 'content'")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {"role": value["role"], "content": [_part(part, pictures) for part in parts]}


def _part(value: Any, pictures: _Pictures) -> Mapping[str, Any]:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text" and isinstance(value.get("text"), str):
        return {"type": "text", "text": value["text"]}
    if kind == "image_url" and isinstance(value.get("image_url"), dict):
        return {"type": "image", "image": pictures.read(value["image_url"].get("url"))}
    raise RequestError("a part of a message is a text or an image_url")


class _Pictures:
    """Reads the pictures of one request."""

    def __init__(self) -> None:
        self._left = _MOST_PIXELS

    def read(self, url: Any) -> Image:
        """The picture in a data URI. Raises RequestError."""
        from PIL import Image, UnidentifiedImageError

        if not isinstance(url, str) or not url.startswith("data:"):
            raise RequestError("pictures come as data URIs (data:image/png;base64,…): this server fetches nothing")
        try:
            data = base64.b64decode(url.partition(",")[2], validate=True)
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                picture = Image.open(io.BytesIO(data), formats=_FORMATS)
                self._left -= picture.width * picture.height
                if self._left < 0:
                    raise RequestError(f"the pictures have more than {_MOST_PIXELS:,} pixels")
                return picture.convert("RGB")
        except (binascii.Error, UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombWarning):
            raise RequestError("a picture cannot be read: base64 of a PNG, JPEG or WebP") from None
