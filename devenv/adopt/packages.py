"""The Python packages that a project asks for: one wish for each, conditions evaluated for the image."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from devenv.adopt.facts.facts import Fact, Facts, Kind
from devenv.preset.requirement import parsed
from devenv.preset.yaml.nodes import Mark
from devenv.preset.yaml.problems import Problems, quote

RENAMED = {
    "sklearn": "scikit-learn", "pil": "pillow", "cv2": "opencv-python", "tensorflow-gpu": "tensorflow",
    "skimage": "scikit-image", "opencv": "opencv-python", "psycopg2": "psycopg2-binary",
    "beautifulsoup": "beautifulsoup4",
}  # fmt: skip
"""Packages that are on the index only to name another one, or as a source where another one has wheels."""
_STANDARD = frozenset(
    {"argparse", "asyncio", "dataclasses", "enum34", "futures", "pathlib", "typing", "unittest", "uuid", "logging"}
)
"""Packages for old Pythons whose work the standard library does now."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One package: `text` is its entry in `pip`. `mark`: where it is asked for."""

    name: str
    text: str
    specifier: SpecifierSet
    extras: tuple[str, ...]
    mark: Mark
    firm: bool = True
    other: bool = False
    """A wheel by its path or address: nothing of it changes."""

    @property
    def version(self) -> str | None:
        """The exact version; None for a range."""
        exact = [one.version for one in self.specifier if one.operator in {"==", "==="} and "*" not in one.version]
        return exact[0] if exact else None

    def with_version(self, specifier: SpecifierSet) -> Wish:
        """The same package with another specifier."""
        return dataclasses.replace(self, specifier=specifier, text=requirement(self.name, self.extras, specifier))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was asked, what is written instead, why, and where it was asked."""

    asked: str
    written: str
    why: str
    mark: Mark


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A list entry or a mapping's value, with a comment."""

    value: str
    comment: str
    name: str = ""
    count: int = 1
    """The packages that it stands for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """The wishes by name, and what was changed on the way."""

    wishes: Mapping[str, Wish]
    changes: tuple[Change, ...]


def requirement(name: str, extras: tuple[str, ...], specifier: SpecifierSet) -> str:
    """A requirement's text."""
    return f"{name}{'[' + ','.join(extras) + ']' if extras else ''}{_ordered(specifier)}"


def text_of(asked: Requirement) -> str:
    """A requirement's text without its condition, as wishes have it."""
    extras = tuple(sorted(canonicalize_name(extra) for extra in asked.extras))
    return f"{requirement(asked.name, extras, asked.specifier)}{f' @ {asked.url}' if asked.url else ''}"


def holds(asked: Requirement, environment: Mapping[str, str]) -> bool:
    """Whether a requirement's condition holds. One that cannot be evaluated does not."""
    try:
        return asked.marker is None or asked.marker.evaluate(dict(environment))
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def environment(python: str, arch: str) -> dict[str, str]:
    """The environment of markers (PEP 508) in the image."""
    return {
        "python_version": python, "python_full_version": f"{python}.9", "implementation_version": f"{python}.9",
        "os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "platform_machine": {"arm64": "aarch64"}.get(arch, "x86_64"),
        "platform_release": "", "platform_version": "", "extra": "",
    }  # fmt: skip


def gather(facts: Facts, python: str, arch: str, problems: Problems) -> Packages:
    """One wish for each package. Contradictions in one file are mistakes; of two files the first one counts."""
    there = environment(python, arch)
    wishes: dict[str, Wish] = {}
    changes: list[Change] = []
    for fact in facts.of(Kind.PIP):
        wish = _wish(fact, there, changes)
        if wish is None:
            continue
        before = wishes.get(wish.name)
        wishes[wish.name] = wish if before is None else _both(before, wish, changes, problems)
    limits = [found for fact in facts.of(Kind.CONSTRAINT) if (found := _requirement(fact, there))]
    for requirement, fact in limits:
        name = canonicalize_name(requirement.name)
        if name in wishes and not wishes[name].other:
            limit = Fact(kind=Kind.PIP, value=f"{name}{requirement.specifier}", mark=fact.mark)
            wishes[name] = _both(wishes[name], _plain(limit), changes, problems)
    for fact in facts.of(Kind.PIN):
        wish = wishes.get(fact.name)
        if (
            wish is not None
            and not wish.other
            and wish.version is None
            and wish.specifier.contains(fact.value, prereleases=True)
        ):
            wishes[fact.name] = wish.with_version(SpecifierSet(f"=={fact.value}"))
    return Packages(wishes=wishes, changes=tuple(changes))


@functools.lru_cache(maxsize=1 << 15)
def _parsed(text: str) -> Requirement:
    """A requirement, which nobody changes: each is looked at once for every base."""
    return parsed(text)


def _requirement(fact: Fact, environment: Mapping[str, str]) -> tuple[Requirement, Fact] | None:
    """The requirement of a fact; None where its condition does not hold in the image."""
    try:
        asked = _parsed(fact.value)
    except InvalidRequirement:
        return None
    return (asked, fact) if holds(asked, environment) else None


def _wish(fact: Fact, environment: Mapping[str, str], changes: list[Change]) -> Wish | None:
    if fact.value.endswith(".whl") and "@" not in fact.value:
        try:
            name = parse_wheel_filename(fact.value.rpartition("/")[2])[0]
        except InvalidWheelFilename:
            return None
        return Wish(name=name, text=fact.value, specifier=SpecifierSet(), extras=(), mark=fact.mark, other=True)
    found = _requirement(fact, environment)
    if found is None:
        return None
    asked = found[0]
    name = canonicalize_name(asked.name)
    if name == "pip":
        changes.append(Change(asked=fact.value, written="", why="the preset has its own", mark=fact.mark))
        return None
    if name in _STANDARD:
        changes.append(Change(asked=fact.value, written="", why="the standard library has it", mark=fact.mark))
        return None
    if asked.url:
        extras = tuple(sorted(canonicalize_name(extra) for extra in asked.extras))
        return Wish(name=name, text=text_of(asked), specifier=SpecifierSet(), extras=extras, mark=fact.mark, other=True)
    if name in RENAMED:
        new = RENAMED[name]
        keep = asked.specifier if name in {"tensorflow-gpu", "psycopg2"} else SpecifierSet()
        why = "the index has it only under another name, or has wheels only of the other"
        changes.append(Change(asked=fact.value, written=requirement(new, (), keep), why=why, mark=fact.mark))
        return Wish(name=new, text=requirement(new, (), keep), specifier=keep, extras=(), mark=fact.mark)
    return dataclasses.replace(_plain(fact), firm=fact.firm)


def _plain(fact: Fact) -> Wish:
    asked = _parsed(fact.value)
    extras = tuple(sorted(canonicalize_name(extra) for extra in asked.extras))
    name = canonicalize_name(asked.name)
    return Wish(name=name, text=text_of(asked), specifier=asked.specifier, extras=extras, mark=fact.mark)


def _both(first: Wish, second: Wish, changes: list[Change], problems: Problems) -> Wish:
    """Two wishes for one package as one."""
    if first.other or second.other:
        return first if first.other else second
    if not first.firm and second.firm:
        return second
    extras = tuple(sorted({*first.extras, *second.extras}))
    if not second.specifier or first.specifier == second.specifier:
        return dataclasses.replace(first, extras=extras, text=requirement(first.name, extras, first.specifier))
    if not first.specifier:
        return dataclasses.replace(second, extras=extras, text=requirement(first.name, extras, second.specifier))
    contradiction = (first.version and not second.specifier.contains(first.version, prereleases=True)) or (
        second.version and not first.specifier.contains(second.version, prereleases=True)
    )
    if contradiction and first.mark.path == second.mark.path and second.firm:
        problems.add(
            f"{quote(second.text)} contradicts {quote(first.text)} ({first.mark.where})", second.mark,
            hint="keep one of them",
        )  # fmt: skip
    elif contradiction:
        why = f"{first.mark.where} asks for another version; name one file to choose: devenv init --from FILE"
        changes.append(Change(asked=second.text, written=first.text, why=why, mark=second.mark))
        return first
    exact = first if first.version else second
    specifier = exact.specifier if exact.version else first.specifier & second.specifier
    kept = dataclasses.replace(first, extras=extras)
    return kept.with_version(specifier)


def _ordered(specifier: SpecifierSet) -> str:
    """A specifier's text, lower bounds first."""
    order = {"===": 0, "==": 0, "~=": 1, ">=": 2, ">": 2, "!=": 3, "<": 4, "<=": 4}
    return ",".join(str(one) for one in sorted(specifier, key=lambda one: (order[one.operator], one.version)))
