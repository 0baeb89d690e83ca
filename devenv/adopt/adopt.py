"""A project that exists already → a devenv.yaml for it. Only files are read: nothing is executed or downloaded."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path

from devenv.adopt import bases, discover
from devenv.adopt.choice import Choice, Known, Machine, choose
from devenv.adopt.facts.facts import Fact, Facts, Kind, Loss, Reading
from devenv.adopt.facts.project import Project
from devenv.adopt.text import yaml_text
from devenv.compat.matrix import Matrix
from devenv.compat.verdict import clashes
from devenv.doors.settings.apt_archives import apt_sources
from devenv.doors.settings.settings import Settings
from devenv.errors import PresetError, UsageError
from devenv.preset import scaffold
from devenv.preset.load import LoadedPreset, default_name, find, load
from devenv.preset.model import Preset
from devenv.preset.project_root import PROJECT_FILE
from devenv.preset.pyproject import FILE
from devenv.preset.yaml.nodes import Mark, display
from devenv.preset.yaml.problems import Problems

_PRESETS = ("python", "pytorch-cpu", "pytorch-cuda", "vllm", "vllm-cu12")
_BOUND = (Kind.PROJECT, Kind.SETUP)
"""What belongs to the project's own folder."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A new devenv.yaml, not yet written, and how it came about."""

    text: str
    choice: Choice
    read: tuple[Path, ...]
    passed_over: tuple[Path, ...]
    warnings: tuple[str, ...] = ()


def adopt(source: Path, folder: Path, *, settings: Settings, matrix: Matrix) -> Adopted:
    """Read `source` (a file, or a folder with files that are found by name), for a devenv.yaml in `folder`.

    Raises PresetError with all mistakes, at their places; UsageError for a file that no reader knows.
    """
    source = Path(os.path.abspath(source))  # noqa: PTH100 - without "..", and links as they are
    root = _root(source, folder)
    problems = Problems(source)
    reading = Reading(Project(root), problems)
    try:
        found = discover.folder(reading) if source.is_dir() else discover.file(source, reading)
    except RecursionError:
        problems.stop("a file is nested too deep to read", None)
    facts = reading.facts()
    problems.check()
    if not found.read or not (facts.facts or facts.left):
        raise PresetError(f"nothing in {display(source)} that devenv reads", hint=f"it reads {discover.KINDS}")
    if root.resolve() != folder.resolve():
        facts = _foreign(facts)
    presets = {name: _shipped(find(name, folder)) for name in _PRESETS}
    machine = Machine(arch=settings.arch, releases=_releases(settings))
    follow = [path for path in found.read if discover.is_requirements(path) or path == folder / FILE]
    known = Known(presets=presets, matrix=matrix)
    choice = choose(facts, known, machine, problems, follow=follow, folder=folder)
    text = yaml_text(choice, default_name(folder / PROJECT_FILE), scaffold.SCHEMA_FILE.as_posix(), found.read)
    try:
        warnings = _verdict(_checked(folder, text), choice, matrix, problems)
    finally:
        problems.check()  # all mistakes at once, and the project's own before those that follow from them
    return Adopted(text=text, choice=choice, read=found.read, passed_over=found.passed_over, warnings=warnings)


@functools.cache
def _shipped(path: Path) -> Preset:
    """A shipped preset, which does not change while devenv runs."""
    return load(path).preset


def _checked(folder: Path, text: str) -> LoadedPreset:
    """The new preset. A mistake in it names its line, and that line's comment the place that it comes from."""
    try:
        return scaffold.checked(folder, text)
    except PresetError as error:
        raise scaffold.in_new_file(error) from None


def _root(source: Path, folder: Path) -> Path:
    """The project that `source` belongs to: `folder` where it lies below it, else its own folder."""
    if not source.exists():
        raise UsageError(f"{display(source)} does not exist", hint="name a file or a folder")
    if source.is_dir():
        return source
    if source.is_relative_to(folder):
        return folder
    parent = source.parent
    return parent.parent if parent.name in {".devcontainer", ".project", "binder", ".binder"} else parent


def _releases(settings: Settings) -> tuple[str, ...]:
    """The releases that this machine's apt settings name."""
    named = [base.bootstrap for base in bases.BASES]
    return tuple(name for name in named if apt_sources(settings, *name.split("/", 1)))


def _foreign(facts: Facts) -> Facts:
    """Facts of another folder than the new environment's: its files are not in /workspace."""
    kept: list[Fact] = []
    left = list(facts.left)
    for fact in facts.facts:
        if fact.kind in _BOUND or (fact.kind == Kind.PIP and fact.value.endswith(".whl") and "@" not in fact.value):
            what = "the project's own package" if fact.kind == Kind.PROJECT else fact.value[:100]
            remedy = "run devenv init in that folder"
            left.append(Loss(what=what, why="it lies in another folder", remedy=remedy, mark=fact.mark))
        else:
            kept.append(fact)
    return Facts(facts=tuple(kept), left=tuple(left))


def _verdict(loaded: LoadedPreset, choice: Choice, matrix: Matrix, problems: Problems) -> tuple[str, ...]:
    """What the compatibility matrix says: clashes at the project's own places, unknown versions as words."""
    unknown: list[str] = []
    for clash in clashes(loaded.preset, matrix):
        if clash.unknown:
            unknown.append(f"{clash.message}; {clash.hint}")
        else:
            problems.add(clash.message, _mark(choice, clash.key), hint=clash.hint)
    return tuple(unknown)


def _mark(choice: Choice, key: str) -> Mark | None:
    return choice.marks.get(key) or next(iter(choice.marks.values()), None)
