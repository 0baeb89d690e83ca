"""`project: editable`: the package that the preset's own folder is, installed editable at the start.

It stands for entries of `pip` (what the package and its build require) and a setup step, as if they were written in the
preset. So the lock is stale when the package's pyproject.toml asks for something else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from devenv.doors import files
from devenv.doors.untrusted import from_toml
from devenv.preset.requirement import name_of, parsed
from devenv.preset.yaml.nodes import Mark, Node, display
from devenv.preset.yaml.problems import Problems, quote

KEY = "project"
EDITABLE = "editable"
STEP = "project"
"""The setup step that installs it."""
COMMAND = ("pip", "install", "--no-deps", "--no-build-isolation", "-e", ".")
_FILE = "pyproject.toml"
_MOST_BYTES = 1 << 20
_BACKENDS = {
    "setuptools": (), "hatchling": ("editables",), "poetry": ("poetry-core",), "flit_core": ("flit-core",),
    "pdm": ("pdm-backend",), "uv_build": (),
}  # fmt: skip
"""The first part of a backend's module → what an editable install needs besides its own requirements."""
_COMPILES = frozenset({
    "cffi", "cmake", "cython", "maturin", "meson", "meson-python", "mypy", "ninja", "numpy", "oldest-supported-numpy",
    "pybind11", "scikit-build", "scikit-build-core", "setuptools-rust", "torch",
})  # fmt: skip
_EXTRAS, _GROUPS = "extras", "groups"
_DEEPEST = 100
"""Groups in groups."""


def build_requirements(build: Mapping[str, Any]) -> tuple[str, ...]:
    """What an editable install of a package with this `[build-system]` needs (PEP 518, PEP 660). Raises ValueError with
    the reason why it cannot be installed in a container without a compiler and a network."""
    backend = str(build.get("build-backend", "setuptools")).partition(".")[0]
    requires, names = [], set()
    for item in _listed(build.get("requires")) or ("setuptools",):
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
        raise ValueError(f"its build backend is {backend}")
    if "poetry" in names:  # the old name of its backend, with all of Poetry
        requires = [one for one in requires if name_of(one) != "poetry"]
    return (*requires, *(one for one in _BACKENDS[backend] if one not in names))


def expanded(top: Node, folder: Path, problems: Problems) -> Node:
    """A file's tree with what its `project` stands for. `folder`: where the file lies."""
    node = top.entries.get(KEY)
    if node is None:
        return top
    rest = {key: value for key, value in top.entries.items() if key != KEY}
    wished = _wished(node, problems)
    data = _read(folder, node.mark, problems) if wished is not None else None
    if wished is None or data is None:
        return dataclasses.replace(top, value=rest)
    try:
        build = build_requirements(_table(data, "build-system"))
    except ValueError as error:
        hint = "install it in a setup step (docs/how-to/own-preset.md, 'Commands after the first start')"
        problems.add(f"the project's package cannot be installed editable: {error}", node.mark, hint=hint)
        return dataclasses.replace(top, value=rest)
    asked = (*_dependencies(data, wished, node.mark, problems), *build)
    rest["pip"] = _with(rest.get("pip"), asked, node)
    rest["setup"] = _with_step(rest.get("setup"), node)
    return dataclasses.replace(top, value=rest)


def _wished(node: Node, problems: Problems) -> Mapping[str, tuple[str, ...]] | None:
    """`extras` and `groups` that are asked for; None after adding a problem."""
    if node.value == EDITABLE:
        return {}
    before, found = len(problems), {}
    for key, value in node.entries.items():
        names = tuple(item.value for item in value.items if isinstance(item.value, str) and item.value)
        if key not in (_EXTRAS, _GROUPS):
            problems.add(f"unknown key {quote(key)} in 'project'", value.place, hint="it has: extras, groups")
        elif not isinstance(value.value, tuple) or len(names) != len(value.items):
            problems.add(f"{key!r} takes a list of names", value.mark, hint=f"such as {key}: [dev]")
        else:
            found[key] = names
    if not isinstance(node.value, dict):
        hint = "project: editable; or, with more of its requirements: project: {extras: [dev]}"
        problems.add("'project' takes the word 'editable', or a mapping", node.mark, hint=hint)
    return found if len(problems) == before else None


def _read(folder: Path, mark: Mark, problems: Problems) -> Mapping[str, Any] | None:
    """The pyproject.toml, or nothing where there is a setup.py alone; None after adding a problem."""
    path = folder / _FILE
    if not files.is_there(path):
        if files.is_there(folder / "setup.py"):
            return {}
        problems.add(f"there is no {_FILE} and no setup.py beside this file, so it is no package", mark,
                     hint="remove 'project'")  # fmt: skip
        return None
    try:
        return from_toml(files.read_text(path, most_bytes=_MOST_BYTES, inside=folder))
    except OSError as error:
        problems.add(f"cannot read {display(path)}: {files.reason(error)}", mark, hint=files.hint(error))
    except ValueError as error:
        problems.add(f"{display(path)} is not valid TOML: {error}", mark, hint="correct the file")
    return None


def _dependencies(
    data: Mapping[str, Any], wished: Mapping[str, tuple[str, ...]], mark: Mark, problems: Problems
) -> Iterator[str]:
    """The package's requirements (PEP 621), those of the wished extras, and of the wished groups (PEP 735)."""
    project = _table(data, "project")
    dynamic = _listed(project.get("dynamic"))
    if "dependencies" in dynamic:
        problems.add(
            f"{_FILE} does not list the project's dependencies: its build computes them", mark,
            hint="name them in 'pip' ({file: requirements.txt} follows a file), and write the setup step of "
            "docs/how-to/own-preset.md in the place of 'project'",
        )  # fmt: skip
    elif not project and set(_table(_table(_table(data, "tool"), "poetry"), "dependencies")) - {"python"}:
        problems.add(
            f"{_FILE} lists the project's dependencies in Poetry's own table, which 'project' does not read", mark,
            hint="let init write them into 'pip', with the step that installs the package: devenv init --force "
            f"--from {_FILE}",
        )  # fmt: skip
    yield from _requirements(_listed(project.get("dependencies")), "dependencies", mark, problems)
    extras, groups = _table(project, "optional-dependencies"), _table(data, "dependency-groups")
    for name in wished.get(_EXTRAS, ()):
        if name not in extras:
            problems.add(f"{_FILE} has no extra {quote(name)}", mark, hint=_has(extras))
        yield from _requirements(_listed(extras.get(name)), f"extra {name}", mark, problems)
    for name in wished.get(_GROUPS, ()):
        yield from _requirements(tuple(_group(name, groups, mark, problems)), f"group {name}", mark, problems)


def _group(
    name: str, groups: Mapping[str, Any], mark: Mark, problems: Problems, above: tuple[str, ...] = (),
    *, done: set[str] | None = None,
) -> Iterator[object]:  # fmt: skip
    """A group's entries, and those of the groups that it includes, each one once."""
    done = set() if done is None else done
    if name in done:
        return
    if name in above or len(above) > _DEEPEST:
        problems.add(f"the dependency group {quote(name)} of {_FILE} includes itself", mark, hint="correct the file")
        return
    if name not in groups:
        problems.add(f"{_FILE} has no dependency group {quote(name)}", mark, hint=_has(groups))
    for item in _listed(groups.get(name)):
        if isinstance(item, dict) and isinstance(item.get("include-group"), str):
            yield from _group(item["include-group"], groups, mark, problems, (*above, name), done=done)
        else:
            yield item
    done.add(name)


def _requirements(items: tuple[object, ...], what: str, mark: Mark, problems: Problems) -> Iterator[str]:
    for item in items:
        try:
            yield str(parsed(str(item)))
        except InvalidRequirement:
            problems.add(f"{_FILE}, {what}: {quote(str(item))} is not a requirement", mark, hint="correct the file")


def _with(pip: Node | None, asked: tuple[str, ...], node: Node) -> Node:
    """The entries of `pip` and these requirements. A package that has an entry keeps that one alone."""
    items = pip.items if pip else ()
    known = {name for item in items if (name := name_of(str(item.value)))}
    added: dict[str, Node] = {}
    for text in asked:
        if name_of(text) not in known:
            added.setdefault(f"{name_of(text)};{parsed(text).marker}", Node(value=text, mark=node.mark))
    value = (*items, *added.values())
    return dataclasses.replace(pip, value=value) if pip else Node(value=value, mark=node.mark, key=node.key)


def _with_step(setup: Node | None, node: Node) -> Node:
    """The setup steps, first the one that installs the package."""
    own = {
        "run": Node(value=tuple(Node(value=word, mark=node.mark) for word in COMMAND), mark=node.mark),
        "once": Node(value="container", mark=node.mark),
    }
    steps = {STEP: Node(value=own, mark=node.mark, key=node.key), **(setup.entries if setup else {})}
    return dataclasses.replace(setup, value=steps) if setup else Node(value=steps, mark=node.mark, key=node.key)


def _table(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _listed(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list) else ()


def _has(table: Mapping[str, Any]) -> str:
    return f"it has: {', '.join(sorted(table)) or 'none'}"
