"""The doctor's findings, and its facts about the wanted environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from devenv.errors import MachineError

OK, WARNING, BLOCKER = "ok", "warning", "blocker"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One examined thing. `id` is stable; `remedy` is a command, or what to do where no command can."""

    id: str
    level: str  # ok | warning | blocker
    what: str
    remedy: str = ""


def ok(id_: str, what: str) -> Finding:
    """No problem."""
    return Finding(id=id_, level=OK, what=what)


def warning(id_: str, what: str, remedy: str) -> Finding:
    """A problem that does not stop `up`."""
    return Finding(id=id_, level=WARNING, what=what, remedy=remedy)


def blocker(id_: str, what: str, remedy: str) -> Finding:
    """A problem that stops `up`."""
    return Finding(id=id_, level=BLOCKER, what=what, remedy=remedy)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The downloads and builds still needed. `cuda` is the lock's own, empty where it has none; without `weights_known`
    the size of some weights is not recorded yet."""

    download_bytes: int = 0
    image_bytes: int = 0
    weights_bytes: int = 0
    weights_known: bool = True
    cuda: str = ""
    kinds: frozenset[str] = frozenset()  # the kinds of downloads: deb | wheel | tarball | file


def blockers(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that stop `up`."""
    return tuple(finding for finding in findings if finding.level == BLOCKER)


def refuse(findings: Iterable[Finding], *, name: str, instead: Callable[[], str] = str) -> None:
    """Raise MachineError with every blocker; `instead`, in words: a preset to run in its place."""
    found = blockers(findings)
    if not found:
        return
    first, rest = found[0], found[1:]
    raise MachineError(
        f"this machine cannot run {name}: {first.what}",
        detail="\n".join(f"{one.what}\n  {one.remedy}" for one in rest) or None,
        hint=hint(first, instead()),
    )


def hint(first: Finding, instead: str) -> str:
    """The remedy: first the alternative, where there is one, then the change to the machine."""
    return f"{instead}; or: {first.remedy}" if instead else first.remedy
