"""The sources of a download, and its files in progress: the worker of each piece, and each source's answers."""

from __future__ import annotations

import abc
import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Mapping

from devenv.doors.http.hubs import Hub
from devenv.doors.http.pieces import Part
from devenv.doors.http.pieces_digest import Digest
from devenv.doors.http.ranges import Place, Ranges
from devenv.doors.once import Once
from devenv.doors.settings.tool_configs import without_secret
from devenv.errors import FetchError
from devenv.lock.model import ModelFile

WHOLE = -1
"""As a piece: the whole file in one stream."""


@dataclasses.dataclass(kw_only=True)
class Source(abc.ABC):
    """A place that may have the model. `number` marks its bytes in unfinished files; `near`: it is on this machine, so
    it comes before the hubs; `stands_in`: it is there for hubs that cannot be reached, which get one try where it has
    the file; `dead`: why it is no longer used, and `remedy` what could be done about it."""

    number: int
    near: bool = False
    stands_in: bool = False
    dead: str | None = None
    remedy: str = ""
    denied: str | None = None  # the file that it refused because the user has no permission
    received: int = 0
    _guard: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """For messages and reports."""

    @abc.abstractmethod
    def label(self, path: str) -> str:
        """Itself with the address of a file there, for messages; without secrets."""

    @abc.abstractmethod
    def read(self, file: ModelFile, start: int, end: int, take: Callable[[int, bytes], None]) -> None:
        """Bytes `start` to `end` (exclusive) of a file: `take(offset, bytes)` gets them as they come. Raises Refused
        (Denied), Again (NoRanges), Stopped, CancelledError, and what `take` raises."""

    @abc.abstractmethod
    def offers(self, file: ModelFile, /) -> bool:
        """Whether it says that it has a file; may ask it. Raises Stopped, CancelledError."""

    @abc.abstractmethod
    def denial(self) -> FetchError:
        """The error for a user without permission."""

    @abc.abstractmethod
    def halt(self) -> None:
        """End all its work soon."""

    def count(self, bytes_: int) -> None:
        """Count bytes from this source."""
        with self._guard:
            self.received += bytes_


@dataclasses.dataclass(kw_only=True)
class HubSource(Source):
    """A hub's repository of the model."""

    hub: Hub
    id: str
    revision: str
    web: Ranges
    _headers: Once[str, Mapping[str, str]] = dataclasses.field(default_factory=Once)

    @property
    def name(self) -> str:
        return self.hub.name

    def label(self, path: str) -> str:
        return f"{self.name} ({without_secret(self._place(path).url)})"

    def read(self, file: ModelFile, start: int, end: int, take: Callable[[int, bytes], None]) -> None:
        self.web.read(self._place(file.path), start, end, file.size, take)

    def offers(self, _: ModelFile, /) -> bool:
        return True  # it is not asked for a list: the first file tells

    def denial(self) -> FetchError:
        return self.hub.denied(self.id)

    def halt(self) -> None:
        self.web.halt()

    def _place(self, path: str) -> Place:
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
        self.answers.append(f"{source.label(self.file.path)}: {why}")
        self.refused[source.number] = why

    def plan(self) -> None:
        """Queue the missing pieces."""
        if self.ranged:
            self.todo = deque(i for i in range(self.part.count) if not self.part.full(i))
        else:
            self.todo = deque([] if self.part.complete else [WHOLE])
