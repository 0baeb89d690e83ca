"""What was found: where, of which kind and why; never the value itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason not to carry a file away. It holds no part of the secret."""

    path: str
    kind: str
    """A stable word, such as `private-key`, `token`, `known-value`."""
    reason: str
    """Plain English; names an archive's member and a notebook's cell."""
    line: int | None = None
    """Counted from 1; None where the whole file counts, and inside archives and notebooks."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A file, or a part of it, whose content nobody looked into."""

    path: str
    reason: str


def allowed(findings: Iterable[Finding], patterns: Sequence[str]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """(findings that still refuse, findings that a pattern allows). A pattern is a path, or a folder of paths."""
    names = tuple(_plain(one) for one in patterns)
    refused: list[Finding] = []
    permitted: list[Finding] = []
    for finding in findings:
        path = _plain(finding.path)
        match = any(path == name or path.startswith(f"{name}/") for name in names if name)
        (permitted if match else refused).append(finding)
    return tuple(refused), tuple(permitted)


def _plain(path: str) -> str:
    # A snapshot records `?` for each byte of a name that is no UTF-8.
    return path.encode(errors="replace").decode().strip().strip("/")
