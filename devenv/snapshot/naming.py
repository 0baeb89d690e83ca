"""Names of snapshots, and what a user types."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from devenv.container.state import is_name
from devenv.errors import UsageError
from devenv.snapshot.store import Snapshots


def split(words: Sequence[str], environments: Collection[str]) -> tuple[str | None, str | None]:
    """(environment, snapshot) of `[ENV] [NAME]`: one word is an environment, where there is one of that name. Raises
    UsageError."""
    if len(words) > 2:
        raise UsageError("too many names", hint="devenv snapshot [ENV] [NAME] -m TEXT")
    if len(words) == 2:
        return words[0], words[1]
    if not words:
        return None, None
    return (words[0], None) if words[0] in environments or not is_name(words[0]) else (None, words[0])


def next_name(environment: str, kept: Snapshots) -> str:
    """A free name: ENV-1, ENV-2, …"""
    number = 1
    while kept.exists(f"{environment[:34]}-{number}"):
        number += 1
    return f"{environment[:34]}-{number}"
