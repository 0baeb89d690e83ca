"""Facts to the content of a new preset, decided: every key with its comment. Pure but for the shipped presets."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from packaging.specifiers import SpecifierSet

from devenv.adopt import accelerator, bases, notebooks, packages, places
from devenv.adopt.accelerator import Accelerator, Setting
from devenv.adopt.facts.facts import Facts, Kind, Loss
from devenv.adopt.packages import Change, Entry, Wish
from devenv.compat import wheels
from devenv.compat.matrix import Matrix
from devenv.compat.versions import allows
from devenv.preset.model import Preset
from devenv.preset.yaml.nodes import Mark
from devenv.preset.yaml.problems import Problems


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A new preset's content."""

    extends: str
    why: str
    settings: Mapping[str, Setting]
    lists: Mapping[str, tuple[Entry, ...]]
    """`pip`, `apt`, `env`, `ports`, `volumes`, `setup`."""
    changes: tuple[Change, ...]
    left: tuple[Loss, ...]
    marks: Mapping[str, Mark]
    """The place that decided a key: for the compatibility matrix's verdict."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What of this machine a choice depends on: its processors, and the releases that its apt settings name."""

    arch: str
    releases: tuple[str, ...]


def choose(facts: Facts, presets: Mapping[str, Preset], matrix: Matrix, machine: Machine, problems: Problems) -> Choice:
    """The content; mistakes, and what cannot be true together, go to `problems`."""

    def misfits(python: str) -> int:
        found = packages.gather(facts, python, machine.arch, Problems(problems_path))
        return sum(_misfit(wish, python) is not None for wish in found.wishes.values())

    problems_path = facts.facts[0].mark.path if facts.facts else next(loss.mark.path for loss in facts.left)
    chosen = bases.choose(facts, misfits, problems, machine.releases)
    python = chosen.base.python
    found = packages.gather(facts, python, machine.arch, problems)
    wishes = dict(found.wishes)
    device = accelerator.decide(wishes, facts, presets, matrix)
    wishes = {wish.name: wish for wish in accelerator.without_local(wishes.values())}
    changes, left = [*found.changes, *device.changes], list(facts.left)
    parent = presets[device.extends]
    settings = dict(device.settings)
    marks = dict(device.marks)
    if chosen.base.bootstrap != parent.base.bootstrap:
        settings = {
            "base": Setting(value={"bootstrap": chosen.base.bootstrap}, comment=f"it has Python {python}"),
            "python": Setting(
                value=python, comment=chosen.asked.mark.where if chosen.asked else "for the pinned packages"
            ),
            **settings,
        }
    if chosen.asked is not None:
        marks["python"] = chosen.asked.mark
        if chosen.why:
            asked = f"Python {chosen.asked.value}"
            changes.append(Change(asked=asked, written=f"Python {python}", why=chosen.why, mark=chosen.asked.mark))
    for wish in wishes.values():
        if wish.name not in {"torch", "vllm"} and (why := _misfit(wish, python)):
            problems.add(why[0], wish.mark, hint=why[1])
    added = dict(device.added)
    _needs(wishes, added, problems)
    books = notebooks.decide(wishes, python, parent.jupyter.version if parent.jupyter else "")
    changes += books.changes
    if books.jupyter != "":
        value: str | Mapping[str, str] | None = {"version": books.jupyter} if books.jupyter else None
        settings["jupyter"] = Setting(value=value, comment=books.comment)
    if books.kernel and "ipykernel" not in wishes:
        added["ipykernel"] = books.kernel
    if books.jupyter:
        device.replaced.add("jupyterlab")
    elif books.jupyter == "" and "jupyterlab" in wishes:
        device.replaced.add("jupyterlab")
        lab = wishes["jupyterlab"]
        changes.append(Change(asked=lab.text, written="the preset's JupyterLab", why="it has one", mark=lab.mark))
    lists = {
        "pip": _pip(wishes, device, added, facts, chosen),
        "apt": places.apt(facts),
        "env": places.variables(facts),
        "ports": places.ports(facts, parent, settings, left),
        "volumes": places.volumes(facts, left),
        "setup": places.setup(facts, chosen, left),
    }
    for kind, key in ((Kind.MEMORY, "memory"), (Kind.SHM, "shm_size")):
        for fact in facts.of(kind)[:1]:
            settings[key] = Setting(value=fact.value, comment=fact.mark.where)
    return Choice(
        extends=device.extends, why=device.why, settings=settings, lists=lists, changes=tuple(dict.fromkeys(changes)),
        left=tuple(left), marks=marks,
    )  # fmt: skip


def _misfit(wish: Wish, python: str) -> tuple[str, str] | None:
    """A pinned release that has no wheel for a Python: the mistake, and the nearest releases that have one."""
    if wish.version is None or wish.other:
        return None
    found = wheels.wheels_of(wish.name, wish.version)
    if found is None or allows(found.python, f"{python}.0"):
        return None
    minors = [f"3.{minor}" for minor in range(4, 30) if allows(found.python, f"3.{minor}.0")]
    there = wheels.nearest(wish.name, wish.version, python)
    span = (
        f"{minors[0]} to {minors[-1]}"
        if minors and len(minors) < 20
        else (minors[0] if minors else "none of 3.4 and newer")
    )
    hint = f"nearest that works: {wish.name} {there.words()}" if there else "choose another version"
    return f"{wish.name} {wish.version} has wheels for Python {span}, not {python}", hint


def _needs(wishes: Mapping[str, Wish], added: dict[str, str], problems: Problems) -> None:
    """What pinned releases need besides: added where it is free, a mistake where another version is pinned."""
    for wish in list(wishes.values()):
        need = wheels.needs(wish.name, wish.version) if wish.version and not wish.other else None
        if need is None:
            continue
        name, sign, limit = need.partition("<")
        asked = wishes.get(name)
        if asked is None:
            added.setdefault(need, f"{wish.text} was compiled for it")
        elif asked.version and not SpecifierSet(sign + limit).contains(asked.version, prereleases=True):
            problems.add(
                f"{wish.text} ({wish.mark.where}) was compiled for {need}, not for {asked.text}", asked.mark,
                hint=f"nearest that works: {_newest(name, sign + limit)}, or a newer {wish.name}",
            )  # fmt: skip
        elif not asked.version and not any(one.operator in {"<", "<=", "~="} for one in asked.specifier):
            added.setdefault(
                f"{asked.text},{sign}{limit}" if asked.specifier else need, f"{wish.text} was compiled for it"
            )


def _newest(name: str, limit: str) -> str:
    return f"{name}{limit}"


def _pip(
    wishes: Mapping[str, Wish], device: Accelerator, added: Mapping[str, str], facts: Facts, chosen: bases.Chosen
) -> tuple[Entry, ...]:
    replaced = device.replaced | {re.split(r"[<>=!~\[,]", text)[0] for text in added}
    found = [
        Entry(value=wish.text, comment=wish.mark.where) for name, wish in wishes.items() if name not in replaced
    ]  # fmt: skip
    found += [Entry(value=text, comment=why) for text, why in added.items()]
    for fact in facts.of(Kind.PROJECT)[:1] if not chosen.refused else ():
        names = {re.split(r"[<>=!~\[, ;]", entry.value)[0].lower() for entry in found}
        for line in filter(None, fact.value.split("\n")):
            if re.split(r"[<>=!~\[, ;]", line)[0].lower() not in names:
                found.append(Entry(value=line, comment="the build of the project's own package"))
    return tuple(found)
