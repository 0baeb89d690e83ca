"""Which scanners look into files: devenv's own, and the scanner of the field where the user has installed it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from devenv.doors import kingfisher
from devenv.secrets.extra import MOST_BYTES, ExtraScanner
from devenv.secrets.finding import Finding, Unread
from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import Scanner


class FileScanner(Protocol):
    """What `Scanner` and `Both` have in common."""

    @property
    def unread(self) -> tuple[Unread, ...]:
        """What was not looked into."""
        ...

    def file(self, path: str, chunks: Iterable[bytes]) -> tuple[Finding, ...]:
        """The findings in one file."""
        ...


def scanner_for(known: KnownValues, cache: Path) -> FileScanner:
    """The scanner for all that leaves this machine; `cache`: devenv's own folder of what can be made again."""
    own = Scanner(known)
    if not kingfisher.is_installed():
        return own
    return Both(own, ExtraScanner(kingfisher.Kingfisher(cache / "kingfisher")))


class Both:
    """Two scanners in one pass. The second looks only where the first found nothing: one finding refuses the file."""

    def __init__(self, first: Scanner, second: ExtraScanner) -> None:
        self._first, self._second = first, second

    @property
    def unread(self) -> tuple[Unread, ...]:
        """What either of them did not look into."""
        return (*self._first.unread, *self._second.unread)

    def file(self, path: str, chunks: Iterable[bytes]) -> tuple[Finding, ...]:
        """The findings in one file."""
        coming, held = iter(chunks), bytearray()
        if found := self._first.file(path, _copied(coming, held)):
            return found
        rest: Iterator[bytes | bytearray] = itertools.chain([held], coming)
        return self._second.file(path, rest)


def _copied(chunks: Iterator[bytes], held: bytearray) -> Iterator[bytes]:
    """The chunks, with a copy of as many as the second scanner reads."""
    for chunk in chunks:
        if len(held) <= MOST_BYTES:
            held += chunk
        yield chunk
