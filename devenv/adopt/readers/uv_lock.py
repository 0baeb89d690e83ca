"""uv.lock: the versions of a project's packages."""

from __future__ import annotations

from typing import Any

from packaging.utils import canonicalize_name

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.toml import places_of, table
from devenv.adopt.readers import requirements
from devenv.preset.toml import Table, listed, mapping

_OWN = ("editable", "virtual", "directory")


def read(document: Document, reading: Reading, *, alone: bool) -> None:
    """The version of each package; `alone` (without pyproject.toml) also what the project asks for."""
    data = table(document, reading.problems)
    packages = [package for package in map(mapping, listed(data.get("package"))) if _name(package)]
    counts: dict[str, int] = {}
    for package in packages:
        counts[_name(package)] = counts.get(_name(package), 0) + 1
    offset = 0
    versions = {}
    for package in packages:
        name, version = _name(package), package.get("version")
        offset = document.line_of(f'name = "{name}"', offset)
        # One of several versions goes with a platform or a group.
        if isinstance(version, str) and "registry" in mapping(package, "source") and counts[name] == 1:
            reading.take(Kind.PIN, version, document.mark(offset), name=name)
            versions[name] = version
    if not alone:
        return
    if isinstance(python := data.get("requires-python"), str):
        reading.take(Kind.PYTHON, python, places_of(document).of("", python))
    for package in packages:
        if any(kind in mapping(package, "source") for kind in _OWN):
            groups = mapping(package, "dev-dependencies").get("dev")
            for wish in (*listed(package.get("dependencies")), *listed(groups)):
                _wish(mapping(wish), versions, document, reading)


def _wish(wish: Table, versions: dict[str, str], document: Document, reading: Reading) -> None:
    name = _name(wish)
    if not name:
        return
    mark = document.mark(document.line_of(f'name = "{name}"'))
    if name not in versions:
        remedy = "name the version in 'pip' that you want"
        reading.leave(name, "it has several versions in the lock, or comes from no index", mark, remedy=remedy)
        return
    extras = ",".join(one for one in listed(wish.get("extra")) if isinstance(one, str))
    marker = wish.get("marker")
    condition = f" ; {marker}" if isinstance(marker, str) else ""
    requirements.one(f"{name}{f'[{extras}]' if extras else ''}=={versions[name]}{condition}", mark, reading)


def _name(package: Any) -> str:
    name = package.get("name")
    return canonicalize_name(name) if isinstance(name, str) else ""
