"""What a pyproject.toml asks for, with places: PEP 621, groups (PEP 735), the tables of uv and Poetry."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from devenv.doors import files
from devenv.doors.untrusted import from_toml
from devenv.preset import poetry_table
from devenv.preset.git_source import from_git
from devenv.preset.requirement import name_of, parsed
from devenv.preset.requirements_file import without_logins
from devenv.preset.toml import Places, Table, listed, mapping, places_in
from devenv.preset.yaml.nodes import Mark, display
from devenv.preset.yaml.problems import Problems, quote

FILE = "pyproject.toml"
_MOST_BYTES = 1 << 20
_DEEPEST = 100
"""Groups in groups, and extras in extras."""
_MOST = 5000
"""Requirements, groups and extras, each of which is looked for in the file's text."""
_NAMED = 20
"""Groups or extras that a hint names."""
_POETRY = "tool.poetry.dependencies"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One requirement. `elsewhere`: the kind of its source where that is no index and nothing that a lock can have."""

    requirement: Requirement
    mark: Mark
    elsewhere: str = ""

    @property
    def name(self) -> str:
        """The normalised name of the package."""
        return canonicalize_name(self.requirement.name)


class Pyproject:
    """A file's tables. Mistakes in it go to the problems of each call."""

    def __init__(self, data: Table, places: Places) -> None:
        self._data = data
        self._places = places
        self._project = mapping(data, "project")
        self._poetry = mapping(data, "tool", "poetry")
        self._uv = mapping(data, "tool", "uv")
        names = (self._project.get("name"), self._poetry.get("name"))
        self._own = {canonicalize_name(name) for name in names if isinstance(name, str)}
        self._sources = uv_sources(data)
        tables = mapping(self._poetry, "extras"), mapping(self._project, "optional-dependencies")
        self._extras = {canonicalize_name(extra): extra for every in tables for extra in every}
        self._groups: dict[str, list[str]] = {}
        for group in self.groups():
            self._groups.setdefault(canonicalize_name(group), []).append(group)

    @property
    def build(self) -> Table:
        """The table `[build-system]`."""
        return mapping(self._data, "build-system")

    def python(self) -> tuple[str, Mark] | None:
        """The Pythons that the package can be installed on (alternatives with `||`), and where that stands."""
        said = self._project.get("requires-python")
        if isinstance(said, str):
            return said, self._places.of("project", said)
        said = mapping(self._poetry, "dependencies").get("python")
        ranges = [poetry_table.pep440(part) for part in said.split("||")] if isinstance(said, str) else []
        return (" || ".join(map(str, ranges)), self._places.of(_POETRY, str(said))) if all(ranges) and ranges else None

    def asked(self, extras: Iterable[str], groups: Iterable[str], mark: Mark, problems: Problems) -> tuple[Asked, ...]:
        """The package's requirements, with those of extras and groups that `mark` names. Each package has one for each
        condition."""
        walk = _Walk(mark, problems)
        found = [*self._main(walk)]
        for extra in extras:
            found += self._extra(extra, walk)
        for group in groups:
            found += self._group(group, walk, ())
        return _joined(found)

    def _main(self, walk: _Walk) -> Iterator[Asked]:
        if "dependencies" in listed(self._project.get("dynamic")):
            walk.problems.add(
                f"{FILE} does not list the project's dependencies: its build computes them",
                self._places.of("project", "dynamic"),
                hint="name them in 'pip' ({file: requirements.txt} follows a file), and write the setup step of "
                "docs/how-to/own-preset.md in the place of 'project'",
            )  # fmt: skip
        yield from self._each("project", "dependencies", self._project.get("dependencies"), walk)
        yield from self._of_poetry(_POETRY, mapping(self._poetry, "dependencies"), walk)

    def _extra(self, name: str, walk: _Walk) -> Iterator[Asked]:
        extra = self._extras.get(canonicalize_name(name))
        walk.step(walk.mark)
        if extra is None:
            hint = None if walk.problems.full else _has(self._extras.values())
            walk.problems.add(f"{FILE} has no extra {quote(name)}", walk.mark, hint=hint)
        elif extra not in walk.extras:
            walk.extras.add(extra)
            items = mapping(self._project, "optional-dependencies").get(extra)
            yield from self._each("project.optional-dependencies", f"extra {extra}", items, walk)
            named = {canonicalize_name(item) for item in listed(mapping(self._poetry, "extras").get(extra)) if item}
            every = mapping(self._poetry, "dependencies")
            chosen = {key: value for key, value in every.items() if canonicalize_name(key) in named}
            yield from self._of_poetry(_POETRY, chosen, walk, optional=True)

    def _group(self, name: str, walk: _Walk, above: tuple[str, ...]) -> Iterator[Asked]:
        """A group's requirements, and those of the groups that it includes, each one once. Names of groups are compared
        as those of packages are (PEP 735)."""
        walk.step(walk.mark)
        key = canonicalize_name(name)
        if key in walk.groups:
            return
        if key in above or len(above) > _DEEPEST:
            mark = self._places.of("dependency-groups", name)
            problem = f"the dependency group {quote(name)} of {FILE} includes itself"
            walk.problems.add(problem, mark, hint="correct the file")
            return
        if key not in self._groups:
            mark = self._places.of("dependency-groups", name) if above else walk.mark
            hint = None if walk.problems.full else _has(one for every in self._groups.values() for one in every)
            walk.problems.add(f"{FILE} has no dependency group {quote(name)}", mark, hint=hint)
        for spelled in self._groups.get(key, ()):
            items = mapping(self._data, "dependency-groups").get(spelled)
            for item in listed(items):
                if isinstance(item, dict) and isinstance(item.get("include-group"), str):
                    yield from self._group(item["include-group"], walk, (*above, key))
                else:
                    yield from self._each("dependency-groups", f"group {spelled}", [item], walk)
            if not isinstance(items, list):
                yield from self._each("dependency-groups", f"group {spelled}", items, walk)
            header = f"tool.poetry.group.{spelled}.dependencies"
            yield from self._of_poetry(header, mapping(self._poetry, "group", spelled, "dependencies"), walk)
        if key == "dev":
            every = self._uv.get("dev-dependencies")
            yield from self._each("tool.uv", "dev-dependencies", every, walk)
            yield from self._of_poetry("tool.poetry.dev-dependencies", mapping(self._poetry, "dev-dependencies"), walk)
        walk.groups.add(key)

    def groups(self) -> tuple[str, ...]:
        """The names of all groups."""
        dev = self._uv.get("dev-dependencies") or self._poetry.get("dev-dependencies")
        tables = (
            mapping(self._data, "dependency-groups"),
            mapping(self._poetry, "group"),
            {"dev": None} if dev else {},
        )
        return tuple(dict.fromkeys(name for every in tables for name in every))

    def _each(self, header: str, what: str, items: object, walk: _Walk) -> Iterator[Asked]:
        if not isinstance(items, list | None):
            problem = f"{FILE}, {what}: it takes a list of requirements"
            walk.problems.add(problem, self._places.of(header, what.rpartition(" ")[2]), hint="correct the file")
        for item in listed(items):
            text = without_logins(str(item))  # again: a text of TOML can be written with escapes
            mark = self._places.of(header, text)
            if not isinstance(item, str):
                _refuse(text, mark, what, walk)
                continue
            source, details = self._sources.get(name_of(text), ("", {}))
            taken = from_git(text, details) if source == "git" else None
            yield from self._one(taken or text, mark, what, walk, elsewhere="" if taken else source)

    def _of_poetry(self, header: str, every: Table, walk: _Walk, *, optional: bool = False) -> Iterator[Asked]:
        """The entries of a table of Poetry's: those that are optional, or the others."""
        for name, value in every.items():
            for wish in listed(value) or (value,):
                is_optional = isinstance(wish, dict) and wish.get("optional") is True
                if canonicalize_name(name) == "python" or is_optional is not optional:
                    continue
                mark = self._places.of(header, name)
                try:
                    text, elsewhere = poetry_table.requirement(name, wish)
                except ValueError as error:
                    walk.problems.add(f"{FILE}, {header}: {quote(name)}: {error}", mark, hint="correct the file")
                    continue
                yield from self._one(text, mark, header, walk, elsewhere=elsewhere)

    def _one(self, text: str, mark: Mark, what: str, walk: _Walk, *, elsewhere: str) -> Iterator[Asked]:
        walk.step(mark)
        try:
            requirement = parsed(text)
        except InvalidRequirement:
            _refuse(text, mark, what, walk)
            return
        if canonicalize_name(requirement.name) not in self._own:
            yield Asked(requirement=requirement, mark=mark, elsewhere=elsewhere)
            return
        walk.depth += 1
        if walk.depth > _DEEPEST:
            walk.problems.stop(f"extras of {FILE} include each other too deep", mark, hint="correct the file")
        for extra in sorted(requirement.extras):  # the project itself: no index has to give it
            yield from self._extra(extra, walk)
        walk.depth -= 1


class _Walk:
    """One call's mistakes, and what it has been through. `mark`: where extras and groups are named."""

    def __init__(self, mark: Mark, problems: Problems) -> None:
        self.mark = mark
        self.problems = problems
        self.extras: set[str] = set()
        self.groups: set[str] = set()
        self.depth = 0
        self._count = 0

    def step(self, mark: Mark) -> None:
        """Count one requirement, group or extra; stops at the limit."""
        self._count += 1
        if self._count > _MOST:
            self.problems.stop(f"more than {_MOST:,} requirements, groups and extras", mark, hint="split the project")


def _refuse(text: str, mark: Mark, what: str, walk: _Walk) -> None:
    walk.problems.add(f"{FILE}, {what}: {quote(text)} is not a requirement", mark, hint="correct the file")


def read(folder: Path, mark: Mark, problems: Problems) -> Pyproject | None:
    """The pyproject.toml of a folder, an empty one where there is a setup.py alone; None after adding a problem."""
    path = folder / FILE
    if not files.is_there(path):
        if files.is_there(folder / "setup.py"):
            return Pyproject({}, places_in(path, ""))
        problems.add(f"there is no {FILE} and no setup.py beside this file, so it is no package", mark,
                     hint="remove 'project'")  # fmt: skip
        return None
    try:
        text = without_logins(files.read_text(path, most_bytes=_MOST_BYTES, inside=folder))
        return Pyproject(from_toml(text), places_in(path, text))
    except OSError as error:
        problems.add(f"cannot read {display(path)}: {files.reason(error)}", mark, hint=files.hint(error))
    except ValueError as error:
        problems.add(f"{display(path)} is not valid TOML: {error}", mark, hint="correct the file")
    return None


def source_kind(source: object) -> str:
    """Which kind of source an entry of `[tool.uv.sources]` names; empty for an index."""
    return next((key for key in ("git", "path", "url", "workspace") if key in mapping(source)), "")


def uv_sources(data: Table) -> dict[str, tuple[str, Table]]:
    """Package → the kind of its source in `[tool.uv.sources]` that is no index, and that source."""
    found: dict[str, tuple[str, Table]] = {}
    for name, value in mapping(data, "tool", "uv", "sources").items():
        for source in listed(value) or (value,):
            if kind := source_kind(source):
                found[canonicalize_name(name)] = kind, mapping(source)
    return found


def _joined(every: Iterable[Asked]) -> tuple[Asked, ...]:
    """One for each package and condition: ranges of several places hold together, an address counts alone."""
    found: dict[tuple[str, str], list[Asked]] = {}
    for asked in every:
        same = found.setdefault((asked.name, str(asked.requirement.marker or "")), [])
        if asked.requirement.url and not (same and same[0].requirement.url):
            same.clear()
        if not (same and same[0].requirement.url):
            same.append(asked)
    return tuple(map(_both, found.values()))


def _both(same: Sequence[Asked]) -> Asked:
    """One for all of a package, made at once: each that is joined alone would read all those before again."""
    if len(same) == 1:
        return same[0]
    both = Requirement(str(same[0].requirement))
    both.specifier = SpecifierSet(",".join(str(one.requirement.specifier) for one in same if one.requirement.specifier))
    both.extras = set().union(*(one.requirement.extras for one in same))
    elsewhere = next((one.elsewhere for one in same if one.elsewhere), "")
    return dataclasses.replace(same[0], requirement=both, elsewhere=elsewhere)


def _has(names: Iterable[str]) -> str:
    known = sorted(names)
    return f"it has: {', '.join(known[:_NAMED]) or 'none'}" + (", …" if len(known) > _NAMED else "")
