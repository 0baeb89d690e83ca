"""Poetry's tables and lock file: its version ranges in the form of PEP 440."""

from __future__ import annotations

import re
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.toml import Places, Table, listed, mapping, table
from devenv.adopt.readers import index, requirements
from devenv.adopt.readers.git_source import from_git
from devenv.preset.yaml.problems import quote


def read(data: Table, places: Places, reading: Reading) -> None:
    """The dependencies of `[tool.poetry]`, with its groups that are not optional."""
    _table(mapping(data, "dependencies"), "tool.poetry.dependencies", places, reading)
    _table(mapping(data, "dev-dependencies"), "tool.poetry.dev-dependencies", places, reading)
    for name, group in mapping(data, "group").items():
        header = f"tool.poetry.group.{name}.dependencies"
        if mapping(group).get("optional") is True:
            mark, remedy = places.of(header, name), "add its packages to 'pip' if you need them"
            reading.leave(f"group {quote(name)}", "it is optional", mark, remedy=remedy)
        else:
            _table(mapping(group, "dependencies"), header, places, reading)
    for source in map(mapping, listed(data.get("source"))):
        if isinstance(address := source.get("url"), str):
            index.read(address, places.of("tool.poetry.source", address), reading)


def read_lock(document: Document, reading: Reading, *, alone: bool) -> None:
    """The versions of poetry.lock; `alone` (without pyproject.toml) every package of the main group."""
    data = table(document, reading.problems)
    offset = 0
    if alone and isinstance(python := mapping(data, "metadata").get("python-versions"), str):
        _python(python, "metadata", Places(document), reading)
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
    details = wish if isinstance(wish, dict) else {"version": wish}
    mark = places.of(header, name)
    kind = next((key for key in ("git", "path", "url", "file") if key in details), None)
    listed_extras = ",".join(one for one in listed(details.get("extras")) if isinstance(one, str))
    named = f"{name}[{listed_extras}]" if listed_extras else name
    if kind == "git" and not details.get("optional") and (taken := from_git(f"{named}{_condition(details)}", details)):
        requirements.one(taken, mark, reading)
        return
    if kind:
        remedy = "make a wheel of it and name its path in 'pip', or name a released version"
        reading.leave(name, f"it comes from a {kind} source", mark, remedy=remedy)
        return
    if details.get("optional") is True:
        return
    version = details.get("version", "*")
    specifier = pep440(version) if isinstance(version, str) else None
    if specifier is None:
        problem = f"{quote(name)}: {quote(str(version))} is not a version range of Poetry"
        reading.problems.add(problem, mark, hint="correct it")
        return
    requirements.one(f"{named}{specifier}{_condition(details)}", mark, reading)


def _condition(details: dict[str, Any]) -> str:
    parts = []
    if isinstance(markers := details.get("markers"), str):
        parts.append(f"({markers})")
    if isinstance(python := details.get("python"), str) and (specifier := pep440(python)):
        parts += [f"python_version {one.operator} '{one.version}'" for one in SpecifierSet(specifier)]
    if isinstance(platform := details.get("platform"), str):
        parts.append(f"sys_platform == '{platform}'")
    return " ; " + " and ".join(parts) if parts else ""


def pep440(text: str) -> str | None:
    """`^1.2`, `~1.2`, `1.2.*`, `1.2`, `*`, `>=1,<2` of Poetry as a specifier; None for another form. Of alternatives
    (`^3.8 || ^3.10`) the last counts."""
    parts = [part.strip() for part in re.split(r"\|\|?", text)[-1].split(",")]
    found = []
    for part in parts:
        if part in {"", "*"}:
            continue
        for word in re.findall(r"[^\s]+(?:\s+(?=[0-9])[^\s]+)?", part) if " " in part else [part]:
            one = _clause(re.sub(r"\s+", "", word))
            if one is None:
                return None
            found.append(one)
    return ",".join(found)


def _clause(part: str) -> str | None:
    sign, version = re.fullmatch(r"(\^|~(?!=)|~=|===?|!=|<=?|>=?|=)?(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]
    numbers = re.match(r"v?([0-9]+(?:\.[0-9]+)*)", version)
    if not numbers or len(version) > 100:
        return None
    release = [int(number[:9]) for number in numbers[1].split(".")]
    if sign == "^":
        at = next((place for place, number in enumerate(release) if number), len(release) - 1)
        upper = [*release[:at], release[at] + 1]
        found = f">={version},<{'.'.join(map(str, upper))}"
    elif sign == "~":
        upper = [release[0] + 1] if len(release) == 1 else [release[0], release[1] + 1]
        found = f">={version},<{'.'.join(map(str, upper))}"
    else:
        found = f"{'==' if sign in (None, '=') else sign}{version}"
    try:
        SpecifierSet(found)
    except InvalidSpecifier:
        return None
    return found
