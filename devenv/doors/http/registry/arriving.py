"""A blob in download: its bytes on disk, its hash, and the pieces that are still to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from devenv.doors.http.pieces import Part
from devenv.doors.http.pieces_digest import Digest
from devenv.doors.http.registry.manifest import Descriptor

WHOLE = -1
"""As a piece: the blob in one stream, from a server that gives no ranges."""


class Arriving:
    """Change it only with the download's state held; its bytes are written by the worker that owns the piece."""

    def __init__(
        self, blob: Descriptor, path: Path, piece_bytes: int, grew: Callable[[int], object] = lambda _: None
    ) -> None:
        self.blob = blob
        self.part = Part(blob.size, path, piece_bytes=piece_bytes).__enter__()
        self.digest = Digest(self.part, grew)
        self.resumed = self.part.total > 0
        self.working = 0
        self.ranged = True
        self.over = False
        self.todo: deque[int] = deque()
        self.plan()

    def plan(self) -> None:
        """Queue the pieces that are missing."""
        if self.ranged:
            self.todo = deque(number for number in range(self.part.count) if not self.part.full(number))
        else:
            self.todo = deque([] if self.part.complete else [WHOLE])

    def span(self, piece: int) -> tuple[int, int]:
        """The first byte to request, and the end."""
        if piece == WHOLE:
            return 0, self.part.size
        start = self.part.start(piece)
        return start + self.part.have(piece), start + self.part.length(piece)

    def reached(self, piece: int) -> int:
        """The offset up to which a piece has arrived."""
        return self.part.total if piece == WHOLE else self.part.have(piece)

    def restart(self) -> int:
        """Drop every byte and begin again; returns how many."""
        lost = self.part.drop(keep=None)
        self.digest.restart()
        self.resumed = False
        self.plan()
        return lost
