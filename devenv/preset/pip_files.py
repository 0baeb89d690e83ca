"""`pip: {file: requirements.txt}`: the requirements of a file in the place of that mapping, each with its own place.

The preset has them as if they were written in it. So the lock is stale when the file changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from devenv.doors import files
from devenv.preset import own_wheel
from devenv.preset.requirement import name_of
from devenv.preset.requirements_file import MOST_BYTES, Entry, entries, without_logins
from devenv.preset.yaml.nodes import Mark, Node, display
from devenv.preset.yaml.problems import Problems, quote

KEY = "file"


def expanded(pip: Node, folder: Path, problems: Problems) -> Node:
    """The list of `pip` with the requirements of each file that it names. `folder`: where the preset lies; files may
    not lie outside of it."""
    if KEY in pip.entries:
        return dataclasses.replace(pip, value=tuple(_requirements(pip, folder, problems)))
    if not any(KEY in item.entries for item in pip.items):
        return pip
    found: list[Node] = []
    for item in pip.items:
        found += _requirements(item, folder, problems) if KEY in item.entries else [item]
    return dataclasses.replace(pip, value=tuple(found))


def _requirements(node: Node, folder: Path, problems: Problems) -> Iterator[Node]:
    """The requirements of a mapping's file."""
    named = node.entries[KEY]
    for key, other in node.entries.items():
        if key != KEY:
            problems.add(f"unknown key {quote(key)} beside 'file'", other.place, hint="remove it")
    if not isinstance(named.value, str) or not named.value:
        problems.add("'file' takes the path of a requirements file", named.mark, hint="such as requirements.txt")
        return
    found = _text(named.value, folder / "x", folder, named.mark, problems)
    if found is None:
        return
    every = entries(*found, lambda name, mark: _text(name, mark.path, folder, mark, problems), problems)
    yield from _nodes(every, problems)


def _nodes(every: tuple[Entry, ...], problems: Problems) -> Iterator[Node]:
    limits: dict[str, list[Entry]] = {}
    for entry in every:
        if entry.kind == "constraint":
            limits.setdefault(_name(entry.text), []).append(entry)
    known: set[str] = set()
    for entry in every:
        if entry.kind == "requirement" and own_wheel.named(entry.text):
            yield Node(value=str(entry.mark.path.parent / entry.text), mark=entry.mark)
        elif entry.kind == "requirement":
            text = _limited(entry.text, limits.pop(_name(entry.text), ()))
            if text not in known:
                known.add(text)
                yield Node(value=text, mark=entry.mark)
        elif entry.kind == "project":
            problems.add("the project's own folder cannot be locked", entry.mark,
                         hint="remove the line, and write 'project: editable' in the preset")  # fmt: skip
        elif entry.kind != "constraint":
            problems.add(f"{quote(entry.text)}: {entry.why}", entry.mark, hint=entry.remedy)
    for entry in (each for those in limits.values() for each in those):
        hint = "remove it: the lock fixes every version; or name the package in 'pip'"
        problems.add(f"{quote(entry.text)} limits a package that the file does not ask for", entry.mark, hint=hint)


def _limited(text: str, limits: list[Entry] | tuple[()]) -> str:
    """A requirement with the specifiers of its constraints."""
    if not limits:
        return text
    requirement = Requirement(text)
    for limit in limits:
        requirement.specifier &= Requirement(limit.text).specifier
    return str(requirement)


def _text(name: str, by: Path, folder: Path, mark: Mark, problems: Problems) -> tuple[Path, str] | None:
    """A requirements file that `by` names, inside `folder`; None after adding a problem."""
    try:
        path = (by.parent / name).resolve()
        if name.startswith("~") or not path.is_relative_to(folder.resolve()):
            hint = "presets use only what lies beside them: copy it there"
            problems.add(f"{quote(name)} lies outside the preset's folder", mark, hint=hint)
            return None
        return path, without_logins(files.read_text(path, most_bytes=MOST_BYTES, inside=folder))
    except OSError as error:
        hint = files.hint(error) or "paths are relative to the folder of the file that names them"
        problems.add(f"cannot read {display(by.parent / name)}: {files.reason(error)}", mark, hint=hint)
    except (RuntimeError, ValueError):
        problems.add(f"{quote(name)} is not a usable path", mark)
    return None


def _name(text: str) -> str:
    return name_of(text) or text
