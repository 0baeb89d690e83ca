"""The scanner of the field beside ours: more rules, where the user has installed it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from devenv.doors.kingfisher import Match
from devenv.secrets.finding import Finding, Unread

MOST_BYTES = 64 << 20
"""Of a larger file the beginning is looked at, because the scanner takes a file as one piece."""


class Matcher(Protocol):
    """A scanner that takes a whole file: `devenv.doors.kingfisher.Kingfisher`."""

    def matches(self, path: str, data: bytes) -> tuple[Match, ...]:
        """The rules that the bytes match."""
        ...


class ExtraScanner:
    """Has the same shape as `Scanner`; call it for the same files."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._unread: list[Unread] = []

    @property
    def unread(self) -> tuple[Unread, ...]:
        """The files whose end was not looked into."""
        return tuple(self._unread)

    def file(self, path: str, chunks: Iterable[bytes | bytearray]) -> tuple[Finding, ...]:
        """The findings in one file; only its first 64 MiB are read. Kind `scanner`; the reason names the rule."""
        data = bytearray()
        for chunk in chunks:
            data += chunk
            if len(data) > MOST_BYTES:
                self._unread.append(Unread(path=path, reason="more than 64 MiB: the extra scanner saw its beginning"))
                break
        found = self._matcher.matches(path, bytes(data[:MOST_BYTES]))
        return tuple(
            Finding(path=path, kind="scanner", reason=f"the rule {one.rule} of Kingfisher", line=one.line)
            for one in dict.fromkeys(found)
        )
