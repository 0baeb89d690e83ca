"""Poetry's tables and lock file: its version ranges in the form of PEP 440."""

from __future__ import annotations

from typing import Any

from packaging.utils import canonicalize_name

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.toml import places_of, table
from devenv.adopt.readers import index, requirements
from devenv.preset import poetry_table
from devenv.preset.poetry_table import pep440
from devenv.preset.toml import Places, Table, listed, mapping
from devenv.preset.yaml.problems import quote


def read(data: Table, places: Places, reading: Reading) -> None:
    """The dependencies of `[tool.poetry]`, with its groups that are not optional."""
    _table(mapping(data, "dependencies"), "tool.poetry.dependencies", places, reading)
    if "dev-dependencies" in data:
        reading.take(Kind.GROUP, "dev", places.of("tool.poetry.dev-dependencies", ""))
    _table(mapping(data, "dev-dependencies"), "tool.poetry.dev-dependencies", places, reading)
    for name, group in mapping(data, "group").items():
        header = f"tool.poetry.group.{name}.dependencies"
        if mapping(group).get("optional") is True:
            remedy = "add its name to 'project', or its packages to 'pip', if you need them"
            reading.leave(f"group {quote(name)}", "it is optional", places.of(header, name), remedy=remedy)
        else:
            reading.take(Kind.GROUP, name, places.of(header, name))
            _table(mapping(group, "dependencies"), header, places, reading)
    for source in map(mapping, listed(data.get("source"))):
        if isinstance(address := source.get("url"), str):
            index.read(address, places.of("tool.poetry.source", address), reading)


def read_lock(document: Document, reading: Reading, *, alone: bool) -> None:
    """The versions of poetry.lock; `alone` (without pyproject.toml) every package of the main group."""
    data = table(document, reading.problems)
    offset = 0
    if alone and isinstance(python := mapping(data, "metadata").get("python-versions"), str):
        _python(python, "metadata", places_of(document), reading)
    seen: set[str] = set()
    for package in map(mapping, listed(data.get("package"))):
        name, version = package.get("name"), package.get("version")
        if not isinstance(name, str) or not isinstance(version, str):
            continue
        offset = document.line_of(f'name = "{name}"', offset)
        mark = document.mark(offset)
        kind = mapping(package, "source").get("type")
        if kind in {"git", "directory", "file", "url"}:
            if alone:
                remedy = "make a wheel of it and name its path in 'pip', or name a released version"
                reading.leave(f"{name} {version}", f"it comes from a {kind} source", mark, remedy=remedy)
            continue
        main = package.get("category", "main") == "main" and "main" in (listed(package.get("groups")) or ("main",))
        if alone and main and not package.get("optional") and canonicalize_name(name) not in seen:
            marker = package.get("markers")
            condition = f" ; {marker}" if isinstance(marker, str) and marker else ""
            requirements.one(f"{name}=={version}{condition}", mark, reading)
        elif canonicalize_name(name) in seen:
            continue
        reading.take(Kind.PIN, version, mark, name=canonicalize_name(name))
        seen.add(canonicalize_name(name))


def _table(entries: Table, header: str, places: Places, reading: Reading) -> None:
    optional = [name for name, value in entries.items() if mapping(value).get("optional") is True]
    if optional:
        names = ", ".join(optional[:12]) + (", …" if len(optional) > 12 else "")
        mark, remedy = places.of(header, optional[0]), "add those that you need to 'pip'"
        reading.leave(f"optional packages: {names}", "extras are a choice", mark, remedy=remedy)
    for name, value in entries.items():
        if canonicalize_name(name) == "python":
            if isinstance(value, str):
                _python(value, header, places, reading)
            continue
        for wish in listed(value) or (value,):
            _dependency(name, wish, header, places, reading)


def _python(value: str, header: str, places: Places, reading: Reading) -> None:
    specifier = pep440(value)
    if specifier:
        reading.take(Kind.PYTHON, specifier, places.of(header, value))


def _dependency(name: str, wish: Any, header: str, places: Places, reading: Reading) -> None:
    mark = places.of(header, name)
    try:
        text, elsewhere = poetry_table.requirement(name, wish)
    except ValueError as error:
        reading.problems.add(f"{quote(name)}: {error}", mark, hint="correct it")
        return
    if elsewhere and mapping(wish).get("optional") is not True:
        remedy = "make a wheel of it and name its path in 'pip', or name a released version"
        reading.leave(name, f"it comes from a {elsewhere} source", mark, remedy=remedy)
    elif mapping(wish).get("optional") is not True:
        requirements.one(text, mark, reading)
