"""What the doctor says, and what it is told about the environment that is wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from devenv.errors import MachineError

OK, WARNING, BLOCKER = "ok", "warning", "blocker"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `id` is stable; `remedy` is a command, or what to do where no command can."""

    id: str
    level: str  # ok | warning | blocker
    what: str
    remedy: str = ""


def ok(id_: str, what: str) -> Finding:
    """Nothing to do."""
    return Finding(id=id_, level=OK, what=what)


def warning(id_: str, what: str, remedy: str) -> Finding:
    """Worth a look; stops nothing."""
    return Finding(id=id_, level=WARNING, what=what, remedy=remedy)


def blocker(id_: str, what: str, remedy: str) -> Finding:
    """It cannot work."""
    return Finding(id=id_, level=BLOCKER, what=what, remedy=remedy)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What has still to be brought and made. `cuda` is the lock's own, empty where it has none; without `weights_known`
    there are weights whose size nobody has recorded yet."""

    download_bytes: int = 0
    image_bytes: int = 0
    weights_bytes: int = 0
    weights_known: bool = True
    cuda: str = ""
    kinds: frozenset[str] = frozenset()  # of what has to be downloaded: deb | wheel | tarball | file


def blockers(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that stop."""
    return tuple(one for one in findings if one.level == BLOCKER)


def refuse(findings: Iterable[Finding], *, name: str, instead: Callable[[], str] = str) -> None:
    """Raise MachineError with every blocker; `instead` tells, in words, what the machine could run in its place."""
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
    """What helps: the alternative, where there is one, before what would have to change."""
    return f"{instead}; or: {first.remedy}" if instead else first.remedy
