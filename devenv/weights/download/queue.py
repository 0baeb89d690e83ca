"""A download's remaining work: files not begun, files in progress, and the best next piece."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from devenv.lock.model import ModelFile
from devenv.weights.download.transfer import WHOLE, Arriving


class Todo:
    """Small files are fetched whole, large ones in pieces. Read and change it only with `state` held.

    `most`: the number of large files in progress at once. Writers to one file wait for each other in the
    kernel, so connections spread over files before they share one.
    """

    def __init__(self, files: tuple[ModelFile, ...], *, piece_bytes: int, most: int) -> None:
        self.state = threading.Condition()
        self.active: list[Arriving] = []
        self.unverified = 0
        self.most = most
        self._large = deque(sorted((file for file in files if file.size > piece_bytes), key=lambda file: -file.size))
        self._small = deque(sorted((file for file in files if file.size <= piece_bytes), key=lambda file: file.path))

    def waiting(self) -> Iterator[ModelFile]:
        """Files that are not begun."""
        yield from self._large
        yield from self._small

    def clear(self) -> None:
        """Begin nothing more, and stop."""
        for arriving in self.active:
            arriving.over = True
        self._large.clear()
        self._small.clear()

    def over(self) -> bool:
        """Whether no work is left, and no file can turn out wrong."""
        return not self._large and not self._small and self.unverified == 0

    def small(self) -> ModelFile | None:
        """A small file, now assigned to the caller."""
        return self._small.popleft() if self._small else None

    def large(self) -> ModelFile | None:
        """A large file to begin, if one more is allowed and every piece in progress has a worker."""
        room = self.unverified < self.most
        return self._large.popleft() if self._large and room and not self._free(alone=True) else None

    def piece(self) -> tuple[Arriving, int] | None:
        """A piece of the file with the fewest workers, now assigned to the caller."""
        if arriving := self._free():
            arriving.working += 1
            return arriving, arriving.todo.popleft()
        return None

    def _free(self, *, alone: bool = False) -> Arriving | None:
        free = [
            arriving for arriving in self.active
            if arriving.todo and not arriving.over
            and (arriving.working == 0 or (arriving.todo[0] != WHOLE and not alone))
        ]  # fmt: skip
        return min(free, key=lambda arriving: arriving.working, default=None)
