"""Messages between two devenv of one version: a JSON header of bounded length, and bytes behind it. What comes from
the other machine is not trusted."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

from devenv.doors.untrusted import from_json

MAGIC = b"devenv-wire-1\n"
"""The first line of a conversation: what a login prints stands before it."""
_MOST_HEADER = 1 << 20
_MOST_NOISE = 1 << 16
_CHUNK_BYTES = 1 << 18


class WireError(Exception):
    """The other side sent what is no message, or nothing any more."""


def send(stream: IO[bytes], header: Mapping[str, Any], chunks: Iterable[bytes] = (), size: int = 0) -> None:
    """Send one message with `size` bytes; when `chunks` has fewer, zeros follow: the receiver's hash then fails. Raises
    OSError."""
    text = json.dumps({**header, "bytes": size}).encode()
    stream.write(struct.pack(">I", len(text)) + text)
    left = size
    for chunk in chunks:
        part = chunk[:left]
        stream.write(part)
        left -= len(part)
    while left:
        part = bytes(min(left, _CHUNK_BYTES))
        stream.write(part)
        left -= len(part)
    stream.flush()


def begin(stream: IO[bytes]) -> bool:
    """Read up to the first line of a conversation; False when there is none."""
    seen = 0
    while seen < _MOST_NOISE and (line := stream.readline(_MOST_NOISE)):
        if line == MAGIC:
            return True
        seen += len(line)
    return False


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], int] | None:
    """The next message's header, and how many bytes follow, which the caller has to read; None at the end. Raises
    WireError."""
    prefix = _exactly(stream, 4, at_end=True)
    if not prefix:
        return None
    (length,) = struct.unpack(">I", prefix)
    if length > _MOST_HEADER:
        raise WireError("a header that is too long")
    try:
        header = from_json(_exactly(stream, length))
    except ValueError as error:
        raise WireError(f"no header: {error}") from None
    size = header.get("bytes") if isinstance(header, dict) else None
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 50:
        raise WireError("a header without a size")
    return header, size


def pieces(stream: IO[bytes], size: int) -> Iterator[bytes]:
    """The bytes behind a header. Raises WireError at an early end."""
    left = size
    while left:
        piece = stream.read(min(left, _CHUNK_BYTES))
        if not piece:
            raise WireError("the connection ended within a file")
        left -= len(piece)
        yield piece


def whole(stream: IO[bytes], size: int, *, most: int) -> bytes:
    """The bytes behind a header at once. Raises WireError for more than `most`."""
    if size > most:
        raise WireError("an answer that is too long")
    return b"".join(pieces(stream, size))


def drain(rest: Iterable[bytes]) -> None:
    """Read what is left of `pieces`."""
    for _ in rest:
        pass


def _exactly(stream: IO[bytes], length: int, *, at_end: bool = False) -> bytes:
    data = stream.read(length)
    while data and len(data) < length and (more := stream.read(length - len(data))):
        data += more
    if len(data) < length and not (at_end and not data):
        raise WireError("the connection ended within a message")
    return data
