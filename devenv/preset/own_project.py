"""`project: editable`: the package that the preset's own folder is, installed editable at the start.

It stands for entries of `pip` (what the package and its build require) and a setup step, as if they were written in the
preset. So the lock is stale when the package's pyproject.toml asks for something else. With `install: false` it stands
for the requirements of a project that is no package.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from devenv.doors import files
from devenv.preset import pyproject
from devenv.preset.pyproject import Asked
from devenv.preset.requirement import name_of, parsed
from devenv.preset.toml import listed
from devenv.preset.yaml.nodes import Node, display
from devenv.preset.yaml.problems import Problems, plain, quote

KEY = "project"
EDITABLE = "editable"
STEP = "project"
"""The setup step that installs it."""
COMMAND = ("pip", "install", "--no-deps", "--no-build-isolation", "-e", ".")
_BACKENDS = {
    "setuptools": (), "hatchling": ("editables",), "poetry": ("poetry-core",), "flit_core": ("flit-core",),
    "pdm": ("pdm-backend",), "uv_build": (),
}  # fmt: skip
"""The first part of a backend's module → what an editable install needs besides its own requirements."""
_COMPILES = frozenset({
    "cffi", "cmake", "cython", "maturin", "meson", "meson-python", "mypy", "ninja", "numpy", "oldest-supported-numpy",
    "pybind11", "scikit-build", "scikit-build-core", "setuptools-rust", "torch",
})  # fmt: skip
_LISTS = ("extras", "groups", "without")
_INSTALL = "install"
_ALONE = "for its requirements alone write 'project: {install: false}'"
_PATCHES = 25
"""Releases of one minor version that there may be."""
_LONGEST = 1000
"""Characters of a range of Pythons, each part of which is compared with each release."""
_MOST_BUILD = 100
"""What a build may require."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Wished:
    """What `project` says. `without`: normalised names of packages that the preset does not take from the file."""

    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    install: bool = True


def build_requirements(build: Mapping[str, Any]) -> tuple[str, ...]:
    """What an editable install of a package with this `[build-system]` needs (PEP 518, PEP 660). Raises ValueError with
    the reason why it cannot be installed in a container without a compiler and a network."""
    backend = str(build.get("build-backend", "setuptools")).partition(".")[0]
    requires, names = [], set()
    wished = listed(build.get("requires")) or ("setuptools",)
    if len(wished) > _MOST_BUILD:
        raise ValueError(f"its build requires more than {_MOST_BUILD} packages")
    for item in wished:
        try:
            requirement = parsed(str(item))
        except InvalidRequirement:
            continue
        names.add(canonicalize_name(requirement.name))
        if not requirement.url:
            requires.append(str(requirement))
    if names & _COMPILES:
        raise ValueError("its build compiles, or needs a network")
    if backend not in _BACKENDS:
        raise ValueError(f"its build backend is {quote(backend)}")
    if "poetry" in names:  # the old name of its backend, with all of Poetry
        requires = [one for one in requires if name_of(one) != "poetry"]
    return (*requires, *(one for one in _BACKENDS[backend] if one not in names))


def expanded(top: Node, folder: Path, problems: Problems) -> Node:
    """A file's tree with what its `project` stands for; the value of `project` is the Python that an installed package
    asks for, for `check`. `folder`: where the file lies."""
    node = top.entries.get(KEY)
    if node is None:
        return top
    rest = {key: value for key, value in top.entries.items() if key != KEY}
    wished = _wished(node, problems)
    file = pyproject.read(folder, node.mark, problems) if wished is not None else None
    if wished is None or file is None:
        return dataclasses.replace(top, value=rest)
    asked = file.asked(wished.extras, wished.groups, node.mark, problems)
    rest["pip"] = _with(rest.get("pip"), [one for one in asked if one.name not in wished.without], node, problems)
    if not wished.install:
        return dataclasses.replace(top, value=rest)
    try:
        rest["pip"] = _with_build(rest["pip"], build_requirements(file.build), node)
    except ValueError as error:
        hint = f"{_ALONE}, and install it in a setup step (docs/how-to/own-preset.md, 'Commands after the first start')"
        problems.add(f"the project's package cannot be installed editable: {error}", node.mark, hint=hint)
    rest["setup"] = _with_step(rest.get("setup"), node)
    python, mark = file.python() or ("", node.mark)
    rest[KEY] = Node(value=python, mark=mark, key=node.place)
    return dataclasses.replace(top, value=rest)


def check(top: Node, folder: Path, problems: Problems) -> None:
    """A composed tree, whose `project` is what `expanded` made: it is the package in the preset's own `folder`, not
    that of one that it extends, and pip refuses a package on another Python."""
    project, python = top.entries.get(KEY), top.entries.get("python")
    if project is None or not isinstance(project.value, str):
        return
    if "workspace" not in top.entries and not files.is_same(str(project.place.path.parent), folder):
        problems.add(
            f"'project' installs what /workspace holds, and that is not the folder of {display(project.place.path)}",
            project.place, hint=f"write it in the devenv.yaml beside the package; {_ALONE}",
        )  # fmt: skip
    if python is None or not isinstance(python.value, str):
        return
    if len(project.value) > _LONGEST:
        problems.add("the range of Pythons of the project's package is too long", project.mark, hint="correct the file")
    elif not any(_fits(one, python.value) for one in project.value.split("||")):
        problems.add(
            f"the project's package needs Python {plain(project.value)}, and the preset has {python.value}",
            project.mark,
            hint=f"choose another Python (docs/how-to/own-preset.md, 'Another Python'), or correct the range; {_ALONE}",
        )  # fmt: skip


def _fits(text: str, python: str) -> bool:
    """Whether any release of a minor version is in a range; a text that is none is the build's to judge."""
    try:
        specifier = SpecifierSet(text.strip())
        return any(specifier.contains(f"{python}.{patch}") for patch in range(_PATCHES))
    except ValueError:  # InvalidSpecifier, and that of a number that is too long for Python
        return True


def _wished(node: Node, problems: Problems) -> _Wished | None:
    """What is asked for; None after adding a problem."""
    if node.value == EDITABLE:
        return _Wished()
    before = len(problems)
    found: dict[str, tuple[str, ...]] = {}
    install = True
    for key, value in node.entries.items():
        names = tuple(item.value for item in value.items if isinstance(item.value, str) and item.value)
        if key == _INSTALL and isinstance(value.value, bool):
            install = value.value
        elif key == _INSTALL:
            problems.add("'install' takes true or false", value.mark, hint="false: the package's requirements alone")
        elif key not in _LISTS:
            hint = f"it has: {', '.join(sorted((*_LISTS, _INSTALL)))}"
            problems.add(f"unknown key {quote(key)} in 'project'", value.place, hint=hint)
        elif not isinstance(value.value, tuple) or len(names) != len(value.items):
            problems.add(f"{key!r} takes a list of names", value.mark, hint=f"such as {key}: [dev]")
        else:
            found[key] = names
    if not isinstance(node.value, dict):
        hint = "project: editable; or, with more of its requirements: project: {extras: [dev]}"
        problems.add("'project' takes the word 'editable', or a mapping", node.mark, hint=hint)
    if len(problems) > before:
        return None
    return _Wished(
        extras=found.get("extras", ()), groups=found.get("groups", ()), install=install,
        without=frozenset(map(canonicalize_name, found.get("without", ()))),
    )  # fmt: skip


def _with(pip: Node | None, asked: Sequence[Asked], node: Node, problems: Problems) -> Node:
    """The entries of `pip` and these requirements. A package that has an entry keeps that one alone; it has to be one
    that the package can work with."""
    own: dict[str, list[Node]] = {}
    for item in pip.items if pip else ():
        own.setdefault(name_of(str(item.value)), []).append(item)
    added = []
    for one in asked:
        text = str(one.requirement)
        if one.name in own:
            _agrees(own[one.name], one, problems)
        elif one.elsewhere:
            hint = f"name a released version, or a wheel's path, in 'pip'; or leave it out: {_without(one.name)}"
            problems.add(
                f"{quote(text)} comes from a {one.elsewhere} source, which a lock cannot fix", one.mark, hint=hint
            )
        else:
            added.append(Node(value=text, mark=one.mark))
    value = (*(pip.items if pip else ()), *added)
    return dataclasses.replace(pip, value=value) if pip else Node(value=value, mark=node.mark, key=node.key)


def _agrees(own: Sequence[Node], asked: Asked, problems: Problems) -> None:
    """An entry with one exact version, which the package's requirement excludes, is a mistake."""
    try:
        entry = parsed(str(own[0].value))
    except InvalidRequirement:
        return
    exact = [one.version for one in entry.specifier if one.operator == "==" and "*" not in one.version]
    wanted = asked.requirement
    if (
        len(own) > 1
        or not exact
        or entry.marker
        or wanted.marker
        or wanted.specifier.contains(exact[0], prereleases=True)
    ):
        return
    problems.add(
        f"{quote(str(own[0].value))} is not what {asked.mark.where} asks for: {plain(str(wanted))}", own[0].mark,
        hint=f"change one of them; to go without the file's: {_without(asked.name)}",
    )  # fmt: skip


def _with_build(pip: Node, requires: Sequence[str], node: Node) -> Node:
    """The entries of `pip`, and what the build needs besides."""
    known = {name_of(str(item.value)) for item in pip.items}
    added = tuple(Node(value=text, mark=node.mark) for text in requires if name_of(text) not in known)
    return dataclasses.replace(pip, value=(*pip.items, *added))


def _with_step(setup: Node | None, node: Node) -> Node:
    """The setup steps, first the one that installs the package."""
    own = {
        "run": Node(value=tuple(Node(value=word, mark=node.mark) for word in COMMAND), mark=node.mark),
        "once": Node(value="container", mark=node.mark),
    }
    steps = {STEP: Node(value=own, mark=node.mark, key=node.key), **(setup.entries if setup else {})}
    return dataclasses.replace(setup, value=steps) if setup else Node(value=steps, mark=node.mark, key=node.key)


def _without(name: str) -> str:
    return f"project: {{without: [{name}]}}"
