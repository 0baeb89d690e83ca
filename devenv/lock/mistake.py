"""Where a lock is wrong: the line of the record, for a lock that was edited or merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from devenv.errors import LockError

ANEW = "do not edit it; lock again: devenv lock"


def inconsistent(path: Path, text: str, data: Any, loc: tuple[str | int, ...], reason: str) -> LockError:
    """A lock of the right form that contradicts itself at `loc`, with the line."""
    place = ".".join(str(part) for part in loc)
    return LockError(
        f"the lock is inconsistent{f' at {place}' if place else ''}: {reason}",
        where=f"{path}:{_line(text, data, loc, reason)}",
        hint=ANEW,
    )


def _line(text: str, data: Any, loc: tuple[str | int, ...], reason: str) -> int:
    """The line of the mistake: the line of its record, else of the last key."""
    marks = [reason.rpartition(" ")[2]]
    record: dict[str, Any] = {}
    value = data
    for part in loc:
        if isinstance(part, str):
            marks.append(f'"{part}":')
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(value, dict) and not any(isinstance(one, dict | list) for one in value.values()):
            record = value
    lines = text.splitlines()
    if words := [json.dumps(one, ensure_ascii=False) for one in record.values() if isinstance(one, str)]:
        # Of two equal records, the later one is the mistake.
        for number, line in reversed(tuple(enumerate(lines, 1))):
            if all(word in line for word in words):
                return number
    for mark in reversed(marks):
        for number, line in enumerate(lines, 1):
            if mark in line:
                return number
    return 1
