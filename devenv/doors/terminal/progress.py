"""How rooms report progress, independent of the listener."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener. Tasks run at the same time and are known by their text; calls may come from any thread."""

    def start(self, task: str, total_bytes: int | None) -> None:
        """`task` begins; `total_bytes` when it moves a known number of bytes."""

    def advance(self, task: str, bytes_: int) -> None:
        """`bytes_` more bytes of `task` are done."""

    def finish(self, task: str) -> None:
        """`task` has ended."""

    def message(self, text: str) -> None:
        """A line for people, such as the build's current step."""


class Silent:
    """Drops everything."""

    def start(self, task: str, total_bytes: int | None) -> None: ...
    def advance(self, task: str, bytes_: int) -> None: ...
    def finish(self, task: str) -> None: ...
    def message(self, text: str) -> None: ...
