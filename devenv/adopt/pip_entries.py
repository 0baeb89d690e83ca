"""The entries of `pip`: a requirements file itself, where a preset can follow it, and single packages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devenv.adopt.facts.facts import Fact
from devenv.adopt.packages import Entry, Wish, holds, text_of
from devenv.preset.pip_files import KEY, expanded
from devenv.preset.yaml.nodes import Mark, Node
from devenv.preset.yaml.problems import Problems


def entries(
    wishes: Mapping[str, Wish],
    replaced: set[str],
    added: Mapping[str, str],
    own: Fact | None,
    follow: tuple[Sequence[Path], Path, Mapping[str, str]],
) -> tuple[Entry, ...]:
    """`replaced`: packages that a key of the preset brings; `added`: further requirements, with the reason; `own`: the
    project's own package; `follow`: requirements files, the folder that they are named from, and the environment of
    markers."""
    gone = replaced | {_name(text) for text in added}
    singles = {name: wish for name, wish in wishes.items() if name not in gone}
    found: list[Entry] = []
    paths, folder, environment = follow
    for path in paths:
        covered = _covered(path, folder, environment, singles)
        if covered:
            words = f"{len(covered)} package{'s' if len(covered) > 1 else ''}; the lock follows the file"
            found.append(Entry(name=KEY, value=path.relative_to(folder).as_posix(), comment=words, count=len(covered)))
            singles = {name: wish for name, wish in singles.items() if name not in covered}
    found += [Entry(value=wish.text, comment=wish.mark.where) for wish in singles.values()]
    found += [Entry(value=text, comment=why) for text, why in added.items()]
    names = {_name(entry.value) for entry in found} | wishes.keys()
    for line in filter(None, own.value.split("\n") if own is not None else ()):
        if _name(line) not in names:
            found.append(Entry(value=line, comment="the build of the project's own package"))
    return tuple(found)


def _covered(path: Path, folder: Path, environment: Mapping[str, str], singles: Mapping[str, Wish]) -> set[str]:
    """The packages of a requirements file that a preset can follow: every line is one that a lock can fix, and says
    exactly what is wished. Empty for another file."""
    if not path.is_relative_to(folder):
        return set()
    problems = Problems(path)
    mark = Mark(path=path, line=1, column=1)
    name = Node(value=path.relative_to(folder).as_posix(), mark=mark)
    every = expanded(Node(value={KEY: name}, mark=mark), folder, problems)
    covered = set()
    for node in every.items:
        if not isinstance(node.value, str) or node.value.startswith("/"):
            return set()  # a wheel by its path, which is written as it is
        asked = Requirement(node.value)
        if not holds(asked, environment):
            continue
        wish = singles.get(canonicalize_name(asked.name))
        if wish is None or not (wish.other or wish.text == text_of(asked)):
            return set()
        covered.add(wish.name)
    return set() if len(problems) else covered


def _name(text: str) -> str:
    return canonicalize_name(re.split(r"[^\w.-]", text, maxsplit=1)[0])
