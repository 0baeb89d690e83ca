"""The hubs of a download, and its files in progress: the worker of each piece, and each source's answers."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Mapping

from devenv.doors.http.hubs import Hub
from devenv.doors.http.pieces import Part
from devenv.doors.http.pieces_digest import Digest
from devenv.doors.http.ranges import Place
from devenv.doors.once import Once
from devenv.doors.settings.tool_configs import without_secret
from devenv.lock.model import ModelFile

WHOLE = -1
"""As a piece: the whole file in one stream."""


@dataclasses.dataclass(kw_only=True)
class Source:
    """A hub that has the model. `dead`: why it is no longer used."""

    hub: Hub
    id: str
    revision: str
    number: int
    dead: str | None = None
    denied: str | None = None  # the file that it refused because the user has no permission
    received: int = 0
    _guard: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    _headers: Once[str, Mapping[str, str]] = dataclasses.field(default_factory=Once)

    def count(self, bytes_: int) -> None:
        """Count bytes from this source."""
        with self._guard:
            self.received += bytes_

    def place(self, path: str) -> Place:
        """The address of a file."""
        with self._guard:  # the first caller imports the hubs' clients
            url = self.hub.url(self.id, self.revision, path)
        return Place(url=url, headers=self._headers.get(self.id, self.hub.headers))


class Arriving:
    """A file in progress: its part, the worker of each piece, and its sources' answers."""

    def __init__(self, part: Part, file: ModelFile) -> None:
        self.part = part
        self.file = file
        self.digest = Digest(part)
        self.todo: deque[int] = deque()
        self.working = 0
        self.ranged = True
        self.resumed = False
        self.only: int | None = None
        self.refused: dict[int, str] = {}
        self.answers: list[str] = []
        self.epoch = 0
        self.over = False

    def refuse(self, source: Source, why: str) -> None:
        """Stop using that source for this file."""
        # Recorded first, because the worker that finds no source left reports all answers.
        self.answers.append(f"{source.hub.name} ({without_secret(source.place(self.file.path).url)}): {why}")
        self.refused[source.number] = why

    def plan(self) -> None:
        """Queue the missing pieces."""
        if self.ranged:
            self.todo = deque(i for i in range(self.part.count) if not self.part.full(i))
        else:
            self.todo = deque([] if self.part.complete else [WHOLE])
