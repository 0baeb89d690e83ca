"""pyproject.toml: PEP 621, dependency groups (PEP 735), Poetry's tables, uv's sources. Pipfile has a form like it."""

from __future__ import annotations

from typing import Any

from packaging.utils import canonicalize_name

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.toml import places_of, table
from devenv.adopt.readers import index, poetry, requirements
from devenv.adopt.readers.project_build import read as read_build
from devenv.preset.git_source import from_git
from devenv.preset.pyproject import source_kind, uv_sources
from devenv.preset.requirement import name_of, parsed
from devenv.preset.toml import Table, listed, mapping
from devenv.preset.yaml.problems import quote

DEFAULT_GROUPS = ("dev",)
"""The groups that uv installs when nothing is said."""


def read(document: Document, reading: Reading) -> None:
    """What the project needs, with the groups that are installed by default."""
    _Reader(document, reading).read()


def has_dependencies(data: Table) -> bool:
    """Whether the file itself lists what the project needs."""
    project = mapping(data, "project")
    return "dependencies" in project or bool(mapping(data, "tool", "poetry", "dependencies"))


class _Reader:
    def __init__(self, document: Document, reading: Reading) -> None:
        self._reading = reading
        self._data = table(document, reading.problems)
        self._places = places_of(document)
        self._repositories: dict[str, Table] = {}
        self._extras: set[str] = set()
        self._spelled: dict[str, str] = {}
        self._elsewhere = self._sources()

    def read(self) -> None:
        project = mapping(self._data, "project")
        for name in map(_text, (project.get("name"), mapping(self._data, "tool", "poetry").get("name"))):
            if name:
                self._reading.own.add(canonicalize_name(name))
        if python := _text(project.get("requires-python")):
            self._reading.take(Kind.PYTHON, python, self._places.of("project", python))
        for item in listed(project.get("dependencies")):
            self._requirement("project", item)
        if "dependencies" in listed(project.get("dynamic")):
            mark = self._places.of("project", "dynamic")
            remedy = "name the file that lists them: devenv init --from requirements.txt"
            self._reading.leave("dynamic dependencies", "only the build of the project knows them", mark, remedy=remedy)
        self._groups()
        for name, items in mapping(project, "optional-dependencies").items():
            if name not in self._extras:
                self._optional(name, listed(items))
        uv = mapping(self._data, "tool", "uv")
        for item in listed(uv.get("dev-dependencies")):
            self._reading.take(Kind.GROUP, "dev", self._places.of("tool.uv", "dev-dependencies"))
            self._requirement("tool.uv", item)
        for key in ("constraint-dependencies", "override-dependencies"):
            for item in map(_text, listed(uv.get(key))):
                if name_of(item):
                    self._reading.take(Kind.CONSTRAINT, item, self._places.of("tool.uv", item))
        poetry.read(mapping(self._data, "tool", "poetry"), self._places, self._reading)
        if project or "build-system" in self._data:
            read_build(self._data, self._places, self._reading)

    def _groups(self) -> None:
        groups = mapping(self._data, "dependency-groups")
        said = mapping(self._data, "tool", "uv").get("default-groups")
        names = {_text(name) for name in listed(said)} or set(DEFAULT_GROUPS)
        chosen = set(map(canonicalize_name, groups if said == "all" else names))
        self._spelled = {canonicalize_name(name): name for name in groups}
        done: set[str] = set()
        for name in groups:
            if canonicalize_name(name) in chosen:
                self._reading.take(Kind.GROUP, name, self._places.of("dependency-groups", name))
                self._group(name, groups, (), done)
            elif name not in done:
                mark = self._places.of("dependency-groups", name)
                remedy = "add its name to 'project', or its packages to 'pip', if you need them"
                self._reading.leave(f"group {quote(name)}", "it is not installed by default", mark, remedy=remedy)

    def _group(self, asked: str, groups: Table, open_: tuple[str, ...], done: set[str]) -> None:
        name = self._spelled.get(canonicalize_name(asked), asked)  # as PEP 735 compares them
        mark = self._places.of("dependency-groups", open_[-1] if open_ else name)
        if name in open_:
            circle = " → ".join((*open_, name))
            self._reading.problems.add(f"dependency groups form a circle: {circle}", mark, hint="remove one of them")
            return
        if name not in groups:
            problem = f"unknown dependency group {quote(name)}"
            self._reading.problems.add(problem, mark, hint="correct 'include-group'")
            return
        if name in done:
            return
        done.add(name)
        for item in listed(groups[name]):
            if included := _text(mapping(item).get("include-group")):
                self._group(included, groups, (*open_, name), done)
            else:
                self._requirement("dependency-groups", item)

    def _optional(self, name: str, items: tuple[Any, ...]) -> None:
        mark = self._places.of("project.optional-dependencies", name)
        names = ", ".join(map(_text, items[:4])) + (", …" if len(items) > 4 else "")
        remedy = "add its name to 'project', or its packages to 'pip', if you need them"
        self._reading.leave(f"extra {quote(name)} ({names})", "extras are a choice", mark, remedy=remedy)

    def _requirement(self, header: str, item: Any) -> None:
        text = _text(item)
        if not text:
            return
        mark = self._places.of(header, text)
        name = name_of(text)
        if name in self._reading.own:
            self._own(text)
        elif name in self._repositories and (taken := from_git(text, self._repositories[name])):
            requirements.one(taken, mark, self._reading)
        elif name in self._elsewhere:
            remedy = "make a wheel of it and name its path in 'pip', or name a released version"
            self._reading.leave(text, f"'tool.uv.sources' takes it from {self._elsewhere[name]}", mark, remedy=remedy)
        else:
            requirements.one(text, mark, self._reading)

    def _own(self, text: str) -> None:
        """The project itself, which no index has to give, with extras that the file lists."""
        extras = mapping(self._data, "project", "optional-dependencies")
        for name in sorted((set(extras) & parsed(text).extras) - self._extras):
            self._extras.add(name)
            for item in listed(extras[name]):
                self._requirement("project.optional-dependencies", item)

    def _sources(self) -> dict[str, str]:
        """Package → the kind of place that is no index; indexes give what their address says."""
        uv = mapping(self._data, "tool", "uv")
        addresses = {}
        for entry in map(mapping, listed(uv.get("index"))):
            addresses[_text(entry.get("name"))] = _text(entry.get("url"))
        used: set[str] = set()
        found: dict[str, str] = {}
        for name, (kind, source) in uv_sources(self._data).items():
            found[name] = "a folder or file" if kind == "path" else f"a {kind} source"
            if kind == "git":
                self._repositories[name] = source
        for value in mapping(uv, "sources").values():
            for source in map(mapping, listed(value) or (value,)):
                for_all = "extra" not in source and "group" not in source
                if for_all and not source_kind(source) and _for_linux(_text(source.get("marker"))):
                    used.add(_text(source.get("index")))
        for name, address in addresses.items():
            if name in used or not name:
                index.read(address, self._places.of("tool.uv.index", address), self._reading)
        return found


def _for_linux(marker: str) -> bool:
    """Whether uv takes a source with that marker on Linux."""
    from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName

    environment = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}
    try:
        return not marker or Marker(marker).evaluate(environment)
    except (InvalidMarker, UndefinedEnvironmentName):
        return False


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
