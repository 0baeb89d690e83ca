"""Against answers that go round in circles: how far back the model may not repeat itself, and what was one anyway."""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Sequence

from ocr.errors import UsageError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """No run of `size` tokens comes twice within the last `window` tokens. Size 0: no guard."""

    size: int
    window: int


BY_JOB = {
    "image": Guard(size=30, window=90),
    "pdf": Guard(size=20, window=50),
    "batch": Guard(size=40, window=90),
}
KEPT_TOKENS = ("<td>", "</td>")
"""Tables repeat these by nature; they are never forbidden."""
_LOOP = re.compile(r"(.{1,200}?)\1{7,}\s*\Z", re.DOTALL)
_LOOKED_AT = 2400
_BASE, _MODULUS = 1_000_003, (1 << 61) - 1
"""Of a rolling hash (Karp and Rabin) over runs of tokens."""


def parse(text: str) -> Guard:
    """A guard from `SIZE/WINDOW`, or from `off`. Raises UsageError."""
    if text == "off":
        return Guard(size=0, window=0)
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,5})", text)
    if not found or not 2 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"{text!r} is no guard", hint="write SIZE/WINDOW, 2 ≤ SIZE ≤ WINDOW: 30/90; or: off")
    return Guard(size=int(found[1]), window=int(found[2]))


def forbidden(tokens: Sequence[int], guard: Guard) -> set[int]:
    """The tokens that would repeat a run of `guard.size` tokens that lies in the last `guard.window` ones."""
    if not guard.size or len(tokens) < guard.size:
        return set()
    recent = list(tokens[max(0, len(tokens) - guard.window) :])
    head = guard.size - 1
    last = recent[len(recent) - head :]
    return {recent[at + head] for at in range(len(recent) - head) if recent[at : at + head] == last}


class History:
    """The recent runs of tokens of one answer, kept from step to step: telling what is forbidden next costs the same
    however long runs and window are. Must be asked about one answer only, as it grows."""

    def __init__(self, guard: Guard) -> None:
        self._head, self._window, self._is_off = guard.size - 1, guard.window, not guard.size
        self._drops = pow(_BASE, guard.size - 1, _MODULUS) if guard.size else 0
        self._forget()

    def _forget(self) -> None:
        self._count = 0
        self._hash = 0
        self._starts: dict[int, list[int]] = {}
        self._kept: deque[tuple[int, int]] = deque()

    def forbidden(self, tokens: Sequence[int]) -> set[int]:
        """The tokens that would repeat a run of `guard.size` tokens that lies in the last `guard.window` ones."""
        count, head = len(tokens), self._head
        if self._is_off:
            return set()
        if count < self._count:  # the engine has begun the answer again
            self._forget()
        kept = self._kept
        for at in range(self._count, count):
            if at >= head:  # a run is complete, and what has been hashed so far is its head
                self._starts.setdefault(self._hash, []).append(at - head)
                kept.append((at - head, self._hash))
            self._hash = (self._hash * _BASE + tokens[at] + 1) % _MODULUS
            if at >= head:
                self._hash = (self._hash - (tokens[at - head] + 1) * self._drops) % _MODULUS
        self._count = count
        oldest = max(0, count - self._window)
        while kept and kept[0][0] < oldest:
            _, value = kept.popleft()
            starts = self._starts[value]
            starts.pop(0)
            if not starts:
                del self._starts[value]
        if count <= head or self._hash not in self._starts:
            return set()
        last = tokens[count - head :]
        return {
            tokens[start + head] for start in self._starts[self._hash] if tokens[start : start + head] == last
        }  # what has the same hash may still be something else


def looped(text: str) -> bool:
    """Whether a text ends in one piece (up to 200 signs) that comes eight times or more; rulers and dots are none."""
    found = _LOOP.search(text[-_LOOKED_AT:])
    return found is not None and any(sign.isalnum() for sign in found[1]) and len(found[0].strip()) >= 80
