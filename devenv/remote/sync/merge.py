"""Two sides and their last common state → what to do. Nothing that one side changed is lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

from devenv.doors.beneath import Entry
from devenv.remote.sync.ignore import NAMES
from devenv.remote.sync.tree import Tree

Kind = Literal["agree", "send", "fetch", "remove here", "remove there", "both"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What to do with one path. `both`: keep both files, that of the other machine under another name. `conflict`: why,
    for people; empty without one."""

    kind: Kind
    path: str
    here: Entry | None
    there: Entry | None
    conflict: str = ""


def merge(base: Tree, here: Tree, there: Tree) -> Iterator[Action]:
    """The actions that make both sides equal, in order of paths. Files with rules about what leaves this machine are
    never taken from the other one."""
    for path in sorted({*base, *here, *there}):
        own, other, old = here.get(path), there.get(path), base.get(path)
        made = _action(path, own, other, old)
        kind, conflict = made
        yield Action(kind=kind, path=path, here=own, there=other, conflict=conflict)


def _action(path: str, own: Entry | None, other: Entry | None, old: Entry | None) -> tuple[Kind, str]:
    if _same(own, other):
        return "agree", ""
    if path.rpartition("/")[2] in NAMES and not _same(other, old):
        if other is None:
            return "send", ""
        return "both", "it decides what leaves this machine, so it is not taken from there"
    if _same(own, old):
        return ("remove here", "") if other is None else ("fetch", "")
    if _same(other, old):
        return ("remove there", "") if own is None else ("send", "")
    if own is None:
        return "fetch", "deleted here, changed there: kept"
    if other is None:
        return "send", "changed here, deleted there: kept"
    return "both", "changed on both sides"


def _same(one: Entry | None, other: Entry | None) -> bool:
    return one is None and other is None if one is None or other is None else one.is_same(other)


def beside(path: str, target: str, taken: Tree) -> str:
    """A free name for the other machine's file beside ours."""
    name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in target)[:60]
    wanted, number = f"{path}.from-{name}", 1
    while wanted in taken:
        number += 1
        wanted = f"{path}.from-{name}-{number}"
    return wanted
