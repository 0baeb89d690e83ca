"""The scanner Kingfisher (`pip install 'devenv[scan]'`), inside this process: offline, and it redacts what it finds."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A rule that some bytes match, and the line, counted from 1."""

    rule: str
    line: int


def is_installed() -> bool:
    """Whether the extra is installed; loads nothing of it."""
    return find_spec("kingfisher_sdk") is not None


class Kingfisher:
    """Its rules, compiled. The first use compiles them for about a minute, later ones read the cache in seconds."""

    def __init__(self, cache: Path) -> None:
        import kingfisher_sdk

        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._library: Any = kingfisher_sdk
        self._scanner: Any = kingfisher_sdk.Scanner(kingfisher_sdk.Rules(cache_dir=str(cache)), redact=True)

    def matches(self, path: str, data: bytes) -> tuple[Match, ...]:
        """What its rules find in a file's bytes. `path` is for rules that look at names; nothing is read from it."""
        found = self._scanner.scan_input(self._library.ScanInput(path=path, data=data))
        return tuple(Match(rule=one.rule_id, line=int(one.location["line"])) for one in found if one.visible)
