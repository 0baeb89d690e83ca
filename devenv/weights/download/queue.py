"""What a download has still to do: files not begun, files under way, and what is best done next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from devenv.lock.model import ModelFile
from devenv.weights.download.transfer import WHOLE, Arriving


class Todo:
    """Small files come whole, large ones in pieces. All of it is read and changed while `state` is held.

    `most`: so many large files are under way at once. Who writes to one file waits for the others who do, in the
    kernel; so connections spread over files before they share one.
    """

    def __init__(self, files: tuple[ModelFile, ...], *, piece_bytes: int, most: int) -> None:
        self.state = threading.Condition()
        self.active: list[Arriving] = []
        self.unverified = 0
        self.most = most
        self._large = deque(sorted((one for one in files if one.size > piece_bytes), key=lambda one: -one.size))
        self._small = deque(sorted((one for one in files if one.size <= piece_bytes), key=lambda one: one.path))

    def waiting(self) -> Iterator[ModelFile]:
        """Files that nobody has begun."""
        yield from self._large
        yield from self._small

    def clear(self) -> None:
        """Begin nothing more, and leave what is under way."""
        for one in self.active:
            one.over = True
        self._large.clear()
        self._small.clear()

    def over(self) -> bool:
        """Whether nothing is left, nor can come again from a file that turns out wrong."""
        return not self._large and not self._small and self.unverified == 0

    def small(self) -> ModelFile | None:
        """A small file, now the caller's to bring."""
        return self._small.popleft() if self._small else None

    def large(self) -> ModelFile | None:
        """A large file to begin, if another one may be under way and no file that is has a piece that nobody shares."""
        room = self.unverified < self.most
        return self._large.popleft() if self._large and room and not self._free(alone=True) else None

    def piece(self) -> tuple[Arriving, int] | None:
        """A piece of the file under way that the fewest work on, now the caller's."""
        if one := self._free():
            one.working += 1
            return one, one.todo.popleft()
        return None

    def _free(self, *, alone: bool = False) -> Arriving | None:
        free = [
            one for one in self.active
            if one.todo and not one.over and (one.working == 0 or (one.todo[0] != WHOLE and not alone))
        ]  # fmt: skip
        return min(free, key=lambda one: one.working, default=None)
