"""One piece of a file's bytes: where in it something secret begins.

The whole is read by searches that cost little; patterns are tried only at the places that these find.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from devenv.secrets import assignments
from devenv.secrets.assignments import Hit
from devenv.secrets.tokens import tokens

RUN = 20
"""Characters of the shortest token that is looked for by its beginning."""
_RUNS = bytes(
    ord("a") if (chr(code).isalnum() and code < 128) or chr(code) in "_-" else ord(" ") for code in range(256)
)
_IN_RUN = ord("a")
_RUN = b"a" * RUN
_CAPITALS = (b"AKIA", b"ASIA")
"""Beginnings of keys of 16 more characters, which often have no digit."""
_LOOK = 256
_NO_DIGIT = bytes(code for code in range(256) if chr(code) not in "0123456789")
_BEFORE = frozenset(bytes([code]) for code in b"\"'=: /,")
_WORDS = (b"pass", b"pwd", b"secret")
_PRIVATE = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?P<body>[^-]{64,})"
    rb"|-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----(?:\\r|\\n|\s){1,6}(?:Proc-Type|DEK-Info)"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """Some bytes of a file. What begins at the positions `low` to `high` counts; the bytes around are context."""

    data: bytes
    low: int
    high: int
    text: bool
    """Whether the file is text: in a program's bytes, words and values lie side by side by chance."""

    def hits(self, runs: list[tuple[int, int]]) -> Iterator[Hit]:
        """What is found by its form. `runs` are those of the window."""
        data = self.data
        yield from self._within(_keys(data))
        yield from self._within(assignments.logins(data))
        if self.text:
            yield from self._within(assignments.azure(data))
            yield from self._words()
        yield from self._tokens(runs)

    def runs(self) -> list[tuple[int, int]]:
        """Start and end of every long run of letters, digits, `_` and `-`."""
        mapped = self.data.translate(_RUNS)
        start, size, spans = self.low, len(mapped), []
        if start and mapped[start - 1] == _IN_RUN:  # this run began before `low`
            start = mapped.find(b" ", start)
        while start >= 0 and 0 <= (start := mapped.find(_RUN, start)) < self.high:
            end = mapped.find(b" ", start + RUN)
            end = size if end < 0 else end
            spans.append((start, end))
            start = end
        return spans

    def _within(self, found: Iterator[Hit]) -> Iterator[Hit]:
        return (hit for hit in found if self.low <= hit[0] < self.high)

    def _words(self) -> Iterator[Hit]:
        lowered = self.data.lower()
        for word in _WORDS:
            at = lowered.find(word, self.low, self.high)
            while at >= 0:
                if word != b"pass" or lowered[at + 4 : at + 5] in (b"w", b"p"):  # not the statement of Python
                    yield from assignments.assigned(self.data, at)
                at = lowered.find(word, at + len(word), self.high)

    def _tokens(self, runs: list[tuple[int, int]]) -> Iterator[Hit]:
        data, text = self.data, self.text
        for start, end in runs:
            if not data[start:end].translate(None, _NO_DIGIT) and data[start : start + 4] not in _CAPITALS:
                continue  # a name: made secrets of this length have digits
            found, run = False, data[start : min(end, start + _LOOK)]
            for at, kind, giver in tokens(data, start, end, run):
                found = True
                yield at, kind, giver if kind == "jwt" else f"a token of {giver}"
            if text and not found and data[start - 1 : start] in _BEFORE:
                yield from assignments.long_value(data, start, end)


def _keys(data: bytes) -> Iterator[Hit]:
    if b"PRIVATE KEY" in data:
        for found in _PRIVATE.finditer(data):
            body = found["body"]
            if body is None or _is_key(body):
                yield found.start(), "private-key", "a private key"


def _is_key(body: bytes) -> bool:
    """Whether a block's body is base64 of some length, as text or in a string."""
    return sum(len(part) for part in re.findall(rb"[A-Za-z0-9+/=]{16,}", body[:4096])) >= 48
