"""A place of weights in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from devenv.doors.http.partial_file import Refused
from devenv.errors import FetchError
from devenv.lock.model import ModelFile
from devenv.weights.download.transfer import Source


class Elsewhere(Source):
    """Has these bodies by path."""

    name = "elsewhere"

    def __init__(self, bodies: Mapping[str, bytes], **facts: Any) -> None:
        super().__init__(**facts)
        self._bodies = bodies

    def label(self, path: str) -> str:
        return f"{self.name} ({path})"

    def offers(self, file: ModelFile, /) -> bool:
        return file.path in self._bodies

    def read(self, file: ModelFile, start: int, end: int, take: Callable[[int, bytes], None]) -> None:
        if not self.offers(file):
            raise Refused("has no such file")
        take(start, self._bodies[file.path][start:end])

    def denial(self) -> FetchError:
        return FetchError(self.name)

    def halt(self) -> None: ...
