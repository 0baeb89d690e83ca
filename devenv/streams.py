"""What programs inside print, as the engine sends it: the last of it, or line by line. Bounded, however much comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from devenv.enginefaults import failed

KEPT_BYTES = 4 << 20
Tell = Callable[[str], None] | None
"""Who hears of a line, if anybody does."""
_Chunks = tuple[bytes | None, bytes | None]


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
    """Passes everything on, and tells the last whole line of what came on stdout each time."""
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
