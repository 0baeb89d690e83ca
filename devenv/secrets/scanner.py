"""Files, streamed: what in their content must not leave."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from devenv.secrets import notebooks
from devenv.secrets.archives import Part, Unpacking
from devenv.secrets.finding import Finding, Unread
from devenv.secrets.known import KnownValues
from devenv.secrets.paths import LEFT_OUT, by_path
from devenv.secrets.window import Window

WINDOW_BYTES = 1 << 20
CONTEXT_BYTES = 8 << 10
"""On each side of what a window judges: longer than any pattern."""
MOST_FINDINGS = 20
"""Of one file: more of them say nothing new."""
_DER_KEY = re.compile(  # PKCS #1 and #8 with a length of two bytes or one, SEC 1 for P-256
    rb"\x30\x82..\x02\x01\x00(?:\x30[\x03-\x20]\x06|\x02\x82)|\x30[\x2e-\x7f]\x02\x01\x00\x30[\x03-\x20]\x06"
    rb"|\x30\x77\x02\x01\x01\x04\x20",
    re.DOTALL,
)
_CORE = 4  # e_type of a memory dump, elf(5)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Scanner:
    """Looks into files for secrets of known forms and for this user's known values."""

    def __init__(self, known: KnownValues) -> None:
        self._known = known
        self._unread: dict[Unread, None] = {}

    @property
    def unread(self) -> tuple[Unread, ...]:
        """What of the files so far was not looked into: encrypted, damaged, too large when unpacked."""
        return tuple(self._unread)

    def file(self, path: str, chunks: Iterable[bytes]) -> tuple[Finding, ...]:
        """The findings in one file of any size, at most 20; its name is not judged, names in an archive are."""

        def unread(member: str, reason: str) -> None:
            self._unread[Unread(path=_named(path, member), reason=reason)] = None

        unpacking = Unpacking(unread)
        findings = (found for part in unpacking.parts(chunks) for found in self._part(path, part))
        return tuple(itertools.islice(dict.fromkeys(itertools.islice(findings, 50 * MOST_FINDINGS)), MOST_FINDINGS))

    def text(self, path: str, text: str, place: str = "") -> tuple[Finding, ...]:
        """The findings in a text; `place` says where in it, for the reasons."""
        return tuple(dict.fromkeys(self._stream(path, place, iter([text.encode(errors="replace")]))))

    def _part(self, path: str, part: Part) -> Iterator[Finding]:
        member = part.member.rpartition("!")[2]
        inside = f"in {part.member!r}" if part.member else ""
        if member and (rule := by_path(member)) and rule.kind not in LEFT_OUT:
            yield Finding(path=path, kind=rule.kind, reason=_at(rule.reason, inside))
        name = member or path
        chunks = part.chunks
        if name.endswith(".ipynb"):
            data, chunks = _gathered(chunks, notebooks.MOST_BYTES)
            try:
                cells = notebooks.parts(data) if data is not None else ()
            except ValueError:
                cells = ()
            for cell, text in cells:
                yield from self._stream(path, f"{inside}, {cell}" if inside else f"in {cell}", iter([text]))
            if cells:
                return
        head = next(chunks, b"")
        if reason := _by_head(name, head):
            yield Finding(path=path, kind=reason[0], reason=_at(reason[1], inside))
        yield from self._stream(path, inside, itertools.chain([head], chunks))

    def _stream(self, path: str, place: str, chunks: Iterator[bytes]) -> Iterator[Finding]:
        for window, before in _windows(chunks):
            runs = window.runs()
            joined = b"\n".join(window.data[start:end] for start, end in runs) if self._known else b""
            known = (
                (at, "known-value", f"the value of {origin}")
                for at, origin in self._known.find(window.data, joined)
                if window.low <= at < window.high
            )
            for at, kind, reason in itertools.chain(known, window.hits(runs)):
                line = None if place else before + window.data.count(b"\n", 0, at) + 1
                yield Finding(path=path, kind=kind, reason=_at(reason, place), line=line)


def _windows(chunks: Iterator[bytes]) -> Iterator[tuple[Window, int]]:
    """(window, lines before it): windows of one size, whatever size the chunks have."""
    held, lines, first, text, wide = b"", 0, True, True, False
    parts: list[bytes] = []
    size = 0
    for chunk in itertools.chain(_sliced(chunks), [None]):
        if chunk is not None:
            parts.append(chunk)
            size += len(chunk)
            if size < WINDOW_BYTES:
                continue
        fresh, parts, size = b"".join(parts), [], 0
        if first:
            wide = fresh.startswith(_UTF16)
        fresh = fresh.replace(b"\0", b"") if wide else fresh
        data = held + fresh
        if first:
            text = b"\0" not in data[:CONTEXT_BYTES]
        low = 0 if first else CONTEXT_BYTES
        high = len(data) if chunk is None else max(low, len(data) - CONTEXT_BYTES)
        if high > low:
            yield Window(data, low, high, text), lines
        keep = max(0, high - CONTEXT_BYTES)
        first = first and high == 0
        lines += data.count(b"\n", 0, keep)
        held = data[keep:]


def _sliced(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), WINDOW_BYTES):
            yield chunk[start : start + WINDOW_BYTES]


def _gathered(chunks: Iterator[bytes], most_bytes: int) -> tuple[bytes | None, Iterator[bytes]]:
    """(all bytes, or None for more than that; the chunks again)."""
    parts, size = [], 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > most_bytes:
            return None, itertools.chain(parts, chunks)
    return b"".join(parts), iter(parts)


def _by_head(name: str, head: bytes) -> tuple[str, str] | None:
    """What a file's first bytes tell: a memory dump, a binary private key."""
    if head[:4] == b"\x7fELF" and len(head) >= 18:
        order = ">" if head[5:6] == b"\x02" else "<"
        if struct.unpack_from(f"{order}H", head, 16)[0] == _CORE:
            return "dump", "a memory dump, which holds what programs knew"
    if head.startswith(b"PuTTY-User-Key-File-"):
        return "private-key", "a private key of PuTTY"
    if PurePosixPath(name.lower()).suffix in {".key", ".der", ".pk8", ".p8", ".pem"} and _DER_KEY.match(head):
        return "private-key", "a private key in binary form (DER)"
    return None


def _named(path: str, member: str) -> str:
    return f"{path}!{member}" if member else path


def _at(reason: str, place: str) -> str:
    return f"{reason}, {place}" if place else reason
