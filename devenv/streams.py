"""What programs inside print, as the engine sends it: the last of it, or line by line. Bounded, however much comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from devenv.enginefaults import failed

KEPT_BYTES = 4 << 20


def last(chunks: Iterable[tuple[bytes | None, bytes | None]]) -> tuple[str, str]:
    """The end of stdout and of stderr, KEPT_BYTES of each at most."""
    both = (bytearray(), bytearray())
    for pair in chunks:
        for kept, chunk in zip(both, pair, strict=True):
            kept.extend(chunk or b"")
            if len(kept) > 2 * KEPT_BYTES:
                del kept[:-KEPT_BYTES]
    out, err = (bytes(kept[-KEPT_BYTES:]).decode(errors="replace") for kept in both)
    return out, err


def lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """The lines, as they come; one without an end is cut. Raises EngineError."""
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
