"""Names of snapshots, and what a user types."""

from __future__ import annotations

from collections.abc import Sequence

from devenv.errors import UsageError
from devenv.snapshot.store import Snapshots


def split(words: Sequence[str]) -> tuple[str | None, str | None]:
    """(environment, snapshot) of `[ENV [NAME]]`. Raises UsageError."""
    if len(words) > 2:
        raise UsageError("too many names", hint="devenv snapshot [ENV [NAME]] -m TEXT")
    return (words[0] if words else None), (words[1] if len(words) == 2 else None)


def next_name(environment: str, kept: Snapshots) -> str:
    """A free name: ENV-1, ENV-2, …"""
    number = 1
    while kept.exists(f"{environment[:34]}-{number}"):
        number += 1
    return f"{environment[:34]}-{number}"
