"""One real completion of the model that this environment serves: wait for the server, ask, look at the answer.

python completion.py --model NAME [--port 8601] [--picture | --text]

It passes when a text with tokens came back from that model. What the text says is the model's business.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import struct
import sys
import time
import zlib
from typing import Any

HOST = "127.0.0.1"
QUESTION = "Answer in one sentence: what is a lock file good for?"
BEGINNING = "A lock file is good for"
SEEN = "What colours are in this picture?"
TOKENS = 32
_BETWEEN_S = 0.5
_LONGEST_S = 600


def main() -> int:
    """Ask; prints progress to stderr and a JSON object as its last line."""
    parser = argparse.ArgumentParser(description="One completion of the served model.")
    parser.add_argument("--model", required=True, help="the name that the server has to give")
    parser.add_argument("--port", type=int, default=8601)
    parser.add_argument("--wait", type=float, default=3600, metavar="SECONDS", help="for the server to be ready")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--picture", action="store_true", help="ask about a picture")
    kind.add_argument("--text", action="store_true", help="have a text continued: the model has no chat template")
    asked = parser.parse_args()
    report = completion(
        asked.model, asked.port, "picture" if asked.picture else "text" if asked.text else "chat", asked.wait
    )
    say(report["summary"])
    print(json.dumps(report, ensure_ascii=False))
    return 0 if report["passed"] else 1


def completion(model: str, port: int, kind: str, wait_s: float) -> dict[str, Any]:
    """Wait for the server, and ask for one completion. `kind`: chat, text or picture."""
    began = time.monotonic()
    while not ready(port):
        if time.monotonic() - began > wait_s:
            return failed(f"no server was ready at port {port}", model, kind)
        time.sleep(_BETWEEN_S)
    say(f"the server at port {port} was ready after {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    path = "/v1/completions" if kind == "text" else "/v1/chat/completions"
    try:
        status, answer = ask(port, "POST", path, body(model, kind))
    except (OSError, http.client.HTTPException) as error:
        return failed(f"the server gave no answer: {error or type(error).__name__}", model, kind)
    if status != http.client.OK:
        return failed(f"the server answers {path} with {status}: {answer[:300]}", model, kind)
    return judged(answer, model, kind, time.monotonic() - began)


def body(model: str, kind: str) -> dict[str, Any]:
    """The request."""
    given: dict[str, Any] = {"model": model, "max_tokens": TOKENS, "temperature": 0}
    if kind == "text":
        return {**given, "prompt": BEGINNING}
    if kind == "chat":
        return {**given, "messages": [{"role": "user", "content": QUESTION}]}
    url = "data:image/png;base64," + base64.b64encode(picture()).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": SEEN}]
    return {**given, "messages": [{"role": "user", "content": parts}]}


def judged(answer: str, model: str, kind: str, seconds: float) -> dict[str, Any]:
    """The report about an answer: the model's name, a text, tokens."""
    try:
        value = json.loads(answer)
        choice = value["choices"][0]
        text = choice["text"] if kind == "text" else choice["message"]["content"]
        if kind != "text" and not text:  # of a model that thinks first, within so few tokens
            text = choice["message"].get("reasoning_content") or choice["message"].get("reasoning")
        tokens, named = int(value["usage"]["completion_tokens"]), value["model"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return failed(f"the answer is no completion: {answer[:300]}", model, kind)
    if named != model:
        return failed(f"the answer is of the model {named!r}, not of {model!r}", model, kind)
    if not isinstance(text, str) or not text.strip() or tokens < 1:
        return failed(f"the completion is empty ({tokens} tokens)", model, kind)
    shown = " ".join(text.split())[:200]
    return {
        "passed": True, "summary": f"{tokens} tokens in {seconds:.1f} s from {model}: {shown}", "model": model,
        "kind": kind, "tokens": tokens, "seconds": round(seconds, 3), "text": text,
        "finish": choice.get("finish_reason"),
    }  # fmt: skip


def failed(why: str, model: str, kind: str) -> dict[str, Any]:
    """The report of a check that failed."""
    return {"passed": False, "summary": why, "model": model, "kind": kind}


def ready(port: int) -> bool:
    """Whether the server's health check passes."""
    try:
        return ask(port, "GET", "/health")[0] == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def ask(port: int, method: str, path: str, value: Any = None) -> tuple[int, str]:
    """One request. Not by urllib, which would ask the user's proxy."""
    link = http.client.HTTPConnection(HOST, port, timeout=_LONGEST_S)
    try:
        data = None if value is None else json.dumps(value).encode()
        link.request(method, path, data, {"Content-Type": "application/json"})
        answer = link.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        link.close()


def picture(side: int = 224) -> bytes:
    """A PNG file: red on the left, blue on the right."""
    half = side // 2
    row = b"\0" + b"\xdc\x28\x28" * half + b"\x28\x3c\xdc" * (side - half)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(row * side))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
