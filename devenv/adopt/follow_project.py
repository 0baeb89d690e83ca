"""`project:` of a new preset: the requirements of a pyproject.toml that the lock follows, in the place of copies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.specifiers import SpecifierSet

from devenv.adopt.facts.facts import Fact
from devenv.adopt.packages import Entry, Wish, holds, text_of
from devenv.preset import pyproject
from devenv.preset.yaml.nodes import Mark
from devenv.preset.yaml.problems import Problems

KEY = "project"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The value of `project`, and the packages that need no entry in `pip` besides."""

    entry: Entry
    covered: frozenset[str]


def followed(
    wishes: Mapping[str, Wish], keys: Mapping[str, str], own: Fact | None, groups: Iterable[str],
    place: tuple[Path, Mapping[str, str]],
) -> Followed | None:  # fmt: skip
    """None where a preset cannot follow the file. `keys`: packages that keys of the preset bring, with their versions;
    `own`: the project's own package, where it can be installed; `groups`: those that are wished for; `place`: the
    project's folder, and the environment of markers."""
    folder, environment = place
    problems = Problems(folder / pyproject.FILE)
    mark = Mark(path=folder / pyproject.FILE, line=1, column=1)
    file = pyproject.read(folder, mark, problems)
    if file is None:
        return None
    named = [group for group in file.groups() if group in set(groups)]
    asked = [one for one in file.asked((), named, mark, problems) if holds(one.requirement, environment)]
    if len(problems) or not (asked or own):
        return None
    covered, without = set(), []
    for one in asked:
        wish = wishes.get(one.name)
        if one.name in keys:
            if one.requirement.url or not _allows(one.requirement.specifier, keys[one.name]):
                without.append(one.name)
        elif wish is None or (wish.version and not _allows(one.requirement.specifier, wish.version)):
            without.append(one.name)
        elif wish.text == text_of(one.requirement):
            covered.add(one.name)
    words = f"{len(covered)} package{'' if len(covered) == 1 else 's'}; " if covered else ""
    entry = Entry(
        name=KEY,
        value=_value(named, without, own),
        comment=f"{words}the lock follows {pyproject.FILE}",
        count=len(covered),
    )
    return Followed(entry=entry, covered=frozenset(covered))


def _allows(specifier: SpecifierSet, version: str) -> bool:
    return not specifier or (bool(version) and specifier.contains(version, prereleases=True))


def _value(groups: Iterable[str], without: Iterable[str], own: Fact | None) -> str:
    parts = [] if own else ["install: false"]
    parts += [f"groups: [{', '.join(groups)}]"] if groups else []
    parts += [f"without: [{', '.join(sorted(set(without)))}]"] if without else []
    return f"{{{', '.join(parts)}}}" if parts else "editable"
