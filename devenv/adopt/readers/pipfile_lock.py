"""Pipfile and Pipfile.lock of Pipenv."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.toml import places_of, table
from devenv.adopt.facts.tree import at, jsonc_tree, text
from devenv.adopt.readers import index, requirements
from devenv.preset.toml import listed, mapping
from devenv.preset.yaml.nodes import Node

_ELSEWHERE = ("git", "path", "file", "url")
_REMEDY = "make a wheel of it and name its path in 'pip', or name a released version"


def read(document: Document, reading: Reading) -> None:
    """The Pipfile: what the project asks for."""
    data = table(document, reading.problems)
    places = places_of(document)
    requires = mapping(data, "requires")
    for key in ("python_full_version", "python_version"):
        if isinstance(version := requires.get(key), str):
            reading.take(Kind.PYTHON, minor(version), places.of("requires", version))
            break
    for header in ("packages", "dev-packages"):
        for name, value in mapping(data, header).items():
            details = mapping(value) or {"version": value}
            mark = places.of(header, name)
            kind = next((key for key in _ELSEWHERE if key in details), None)
            if kind:
                reading.leave(name, f"it comes from a {kind} source", mark, remedy=_REMEDY)
                continue
            version = str(details.get("version", "*"))
            extras = ",".join(map(str, listed(details.get("extras"))))
            marker = f" ; {details['markers']}" if isinstance(details.get("markers"), str) else ""
            wish = "" if version == "*" else version
            requirements.one(f"{name}{f'[{extras}]' if extras else ''}{wish}{marker}", mark, reading)
    for source in map(mapping, listed(data.get("source"))):
        if isinstance(address := source.get("url"), str):
            index.read(address, places.of("source", address), reading)


def read_lock(document: Document, reading: Reading, *, alone: bool) -> None:
    """The versions of Pipfile.lock; `alone` (without a Pipfile) every package of its main section."""
    top = jsonc_tree(document, reading.problems)
    for section in ("default", "develop"):
        found = at(top, section)
        for name, node in found.entries.items() if found else ():
            _locked(name, node, reading, alone=alone and section == "default")
    if not alone:
        return
    if version := text(at(top, "_meta", "requires", "python_version")):
        mark = at(top, "_meta", "requires", "python_version")
        assert mark is not None
        reading.take(Kind.PYTHON, minor(version), mark.mark)
    sources = at(top, "_meta", "sources")
    for source in sources.items if sources else ():
        if address := text(at(source, "url")):
            index.read(address, source.mark, reading)


def _locked(name: str, node: Node, reading: Reading, *, alone: bool) -> None:
    version = text(at(node, "version"))
    if any(at(node, kind) for kind in _ELSEWHERE):
        if alone:
            reading.leave(name, "it comes from no index", node.mark, remedy=_REMEDY)
        return
    if version.startswith("=="):
        reading.take(Kind.PIN, version.lstrip("="), node.mark, name=canonicalize_name(name))
        if alone:
            listed_ = at(node, "extras")
            extras = ",".join(text(one) for one in (listed_.items if listed_ else ()))
            marker = text(at(node, "markers"))
            requirement = f"{name}{f'[{extras}]' if extras else ''}{version}{f' ; {marker}' if marker else ''}"
            requirements.one(requirement, node.mark, reading)


def minor(version: str) -> str:
    """`3.9.1` → `==3.9.*`; what is no such version stays as it is."""
    parts = version.split(".")
    return f"=={parts[0]}.{parts[1]}.*" if len(parts) > 1 and all(map(str.isdecimal, parts[:2])) else version
