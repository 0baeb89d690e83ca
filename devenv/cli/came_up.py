"""What an `up` came to, for people: wherever the environment is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from devenv.doors.terminal.console import printable
from devenv.plan.inside import WORKBENCH

if TYPE_CHECKING:
    from devenv.doors.terminal.console import Console
    from devenv.doors.terminal.stages import Stages


def came_up(console: Console, name: str, stages: Stages, *, untouched: bool, how: str = "") -> None:
    """Print that it is up, and the stages of a run that changed something. `how`: what else is to be said of it."""
    if untouched:
        console.note(f"{name} is up already{how}; nothing changed")
        return
    rows = [(one.name, f"{one.seconds:.1f} s", "cached" if one.cached else "") for one in stages.reports()]
    console.note("")
    console.table("", ("stage", "time", ""), rows)
    console.note(f"\n{name} is up{how} after {stages.seconds:.1f} s")


def serving(role: Any) -> str:
    """Its role, unless it is the usual one, for `how`."""
    return "" if role == WORKBENCH else f" with the role {role}"


def pages(console: Console, urls: Mapping[str, Any]) -> None:
    """Print the pages, one a line."""
    width = max(map(len, urls), default=0)
    for service, url in urls.items():
        console.data(printable(f"{service.ljust(width)}  {url}", one_line=True))
