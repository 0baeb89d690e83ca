"""TOML's values by their keys, and where they stand: tomllib gives no places, so the text is searched."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from devenv.preset.yaml.nodes import Mark

Table = Mapping[str, Any]


def mapping(value: Any, *keys: str) -> Table:
    """The table below some keys; empty where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def listed(value: object) -> tuple[Any, ...]:
    """A list's items; empty for anything else."""
    return tuple(value) if isinstance(value, list) else ()


class Places:
    """A search that goes on from a table's header. `mark`: the place of a character by its offset in `text`."""

    def __init__(self, text: str, mark: Callable[[int], Mark]) -> None:
        self._text = text
        self._mark = mark
        self._tables: dict[str, int] = {}

    def of(self, header: str, value: str) -> Mark:
        """The place of a text below `[header]` (as well as it can be found), else of the header, else the top."""
        start = self._table(header)
        for quoted in (f'"{value}"', f"'{value}'", value):
            at = self._text.find(quoted, start)
            if at >= 0:
                return self._mark(at)
        return self._mark(start)

    def _table(self, header: str) -> int:
        """Where a table begins."""
        if header not in self._tables:
            found = re.search(rf"^[ \t]*\[+[ \t]*{re.escape(header)}[ \t]*\]+", self._text, re.MULTILINE)
            self._tables[header] = found.start() if found else 0
        return self._tables[header]


def places_in(path: Path, text: str) -> Places:
    """The places of a file's text."""
    lines = text.split("\n")

    def mark(offset: int) -> Mark:
        line = text.count("\n", 0, offset)
        return Mark(path=path, line=line + 1, column=offset - text.rfind("\n", 0, offset), text=lines[line])

    return Places(text, mark)
