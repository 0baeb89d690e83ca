"""The output of programs in a container, as the engine sends it: its end, or line by line. Always bounded."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from devenv.doors.docker.faults import failed

KEPT_BYTES = 4 << 20
Tell = Callable[[str], None] | None
"""The receiver of each line, if any."""
_Chunks = tuple[bytes | None, bytes | None]


def frames(stream: Any) -> Iterator[_Chunks]:
    """(stdout, stderr), one of them None, as they come on a connection that the engine has handed over to a program.

    The SDK's own reader waits on the socket before each piece, but TLS may have read the rest already.
    """
    getattr(stream, "_sock", stream).settimeout(None)
    receive = stream.recv if hasattr(stream, "recv") else stream.read
    try:
        while header := _whole(receive, 8):
            number, size = struct.unpack(">BxxxL", header)
            while size and (data := receive(size)):
                size -= len(data)
                yield (None, data) if number == 2 else (data, None)
    finally:
        close(stream)


def close(stream: Any) -> None:
    """Close a connection that the engine has handed over. The SDK's response keeps a reference too."""
    if answer := getattr(stream, "_response", None):
        answer.close()
    stream.close()


def both(chunks: Iterable[_Chunks]) -> Iterator[bytes]:
    """Stdout and stderr in one."""
    return (out or err or b"" for out, err in chunks)


def _whole(receive: Callable[[int], bytes], size: int) -> bytes:
    """Exactly that many bytes; none at the end."""
    data = b""
    while len(data) < size:
        if not (piece := receive(size - len(data))):
            return b""
        data += piece
    return data


def last(chunks: Iterable[_Chunks]) -> tuple[str, str]:
    """The end of stdout and of stderr, KEPT_BYTES of each at most."""
    both = (bytearray(), bytearray())
    for pair in chunks:
        for kept, chunk in zip(both, pair, strict=True):
            kept.extend(chunk or b"")
            if len(kept) > 2 * KEPT_BYTES:
                del kept[:-KEPT_BYTES]
    out, err = (bytes(kept[-KEPT_BYTES:]).decode(errors="replace") for kept in both)
    return out, err


def overheard(chunks: Iterable[_Chunks], tell: Tell) -> Iterator[_Chunks]:
    """Passes everything on, and reports the last whole line of stdout each time."""
    rest = b""
    for out, err in chunks:
        if tell is None:
            yield out, err
            continue
        *whole, rest = (rest + (out or b"")).split(b"\n")
        rest = rest[-KEPT_BYTES:]
        if said := [line for line in whole if line.strip()]:
            tell(said[-1].decode(errors="replace"))
        yield out, err


def lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """The lines, as they come; an endless one is cut. Raises EngineError."""
    import requests.exceptions
    import urllib3.exceptions

    rest = b""
    try:
        for chunk in chunks:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
            if len(rest) > KEPT_BYTES:
                yield rest.decode(errors="replace")
                rest = b""
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise failed(error) from None
    if rest:
        yield rest.decode(errors="replace")
