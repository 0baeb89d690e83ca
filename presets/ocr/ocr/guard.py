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
    however long the window is. Must be asked about one answer only, as it grows."""

    def __init__(self, guard: Guard) -> None:
        self._size, self._window = guard.size, guard.window
        self._start = 0
        self._followers: dict[tuple[int, ...], list[int]] = {}
        self._runs: deque[tuple[int, tuple[int, ...]]] = deque()

    def forbidden(self, tokens: Sequence[int]) -> set[int]:
        """The tokens that would repeat a run of `guard.size` tokens that lies in the last `guard.window` ones."""
        count, size = len(tokens), self._size
        if not size or count < size:
            return set()
        if count - size + 1 < self._start:  # shorter than before: the engine has begun it again
            self._forget()
        oldest = max(0, count - self._window)
        for start in range(max(self._start, oldest), count - size + 1):
            head = tuple(tokens[start : start + size - 1])
            self._followers.setdefault(head, []).append(tokens[start + size - 1])
            self._runs.append((start, head))
        self._start = count - size + 1
        while self._runs and self._runs[0][0] < oldest:
            _, head = self._runs.popleft()
            followers = self._followers[head]
            followers.pop(0)
            if not followers:
                del self._followers[head]
        return set(self._followers.get(tuple(tokens[count - size + 1 :]), ()))

    def _forget(self) -> None:
        self._start = 0
        self._followers.clear()
        self._runs.clear()


def looped(text: str) -> bool:
    """Whether a text ends in one piece (up to 200 signs) that comes eight times or more; rulers and dots are none."""
    found = _LOOP.search(text[-_LOOKED_AT:])
    return found is not None and any(sign.isalnum() for sign in found[1]) and len(found[0].strip()) >= 80
