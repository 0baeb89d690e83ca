"""The meaning of `extends`: a preset laid over the one it extends, with positions kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement

from devenv.preset.extension import named
from devenv.preset.requirement import name_of, parsed
from devenv.preset.yaml.nodes import Node, Place
from devenv.preset.yaml.problems import Problems, quote

Identity = Callable[[Node], str | None]
"""What identifies a list entry; None when the entry is not valid (which is reported elsewhere)."""


def _pip(node: Node) -> str | None:
    return name_of(node.value) or None if isinstance(node.value, str) else None


def _marker(node: Node) -> Marker | None:
    """A requirement's condition, such as `python_version < "3.12"`."""
    try:
        return parsed(node.value).marker if isinstance(node.value, str) else None
    except InvalidRequirement:
        return None


def _apt(node: Node) -> str | None:
    return node.value.partition("=")[0] or None if isinstance(node.value, str) else None


def _npm(node: Node) -> str | None:
    if not isinstance(node.value, str):
        return None
    name, at, _ = node.value.rpartition("@")
    return name if name and at else None


def _extension(node: Node) -> str | None:
    if isinstance(node.value, str):
        return named(node.value).key or None
    found = node.entries.get("id")
    return found.value.lower() if found and isinstance(found.value, str) else None


def _word(node: Node) -> str | None:
    return node.value if isinstance(node.value, str) else None


IDENTITIES: Mapping[str, Identity] = {
    "pip": _pip, "apt": _apt, "apt_components": _word, "npm": _npm, "extensions": _extension,
}  # fmt: skip
"""The lists that append, and what identifies an entry. Every other list (a command line) is replaced."""

_WHOLE = frozenset({"base", "archive"})
"""Mappings whose keys exclude each other: replaced, never merged."""


def compose(parent: Node, child: Node, at: Place = ()) -> Node:
    """`child` laid over `parent`: mappings merge, the lists of packages append (entries replace all those of the same
    package), everything else replaces, null removes."""
    key = at[-1] if at else None
    if isinstance(parent.value, dict) and isinstance(child.value, dict) and key not in _WHOLE:
        merged = dict(parent.value)
        for name, node in child.value.items():
            if node.value is None:
                merged.pop(name, None)
            else:
                merged[name] = compose(merged[name], node, (*at, name)) if name in merged else node
        return dataclasses.replace(child, value=merged)
    if isinstance(parent.value, tuple) and isinstance(child.value, tuple) and len(at) == 1 and key in IDENTITIES:
        return dataclasses.replace(child, value=_appended(parent.value, child.value, IDENTITIES[str(key)]))
    return child


def _appended(parent: tuple[Node, ...], child: tuple[Node, ...], identity: Identity) -> tuple[Node, ...]:
    """The parent's list with each package that the child names in the place of its first entry; the child's others
    last."""
    named: dict[str | None, list[Node]] = {}
    for node in child:
        named.setdefault(identity(node), []).append(node)
    names = named.keys() - {None}
    placed: set[str | None] = set()
    found: list[Node] = []
    for node in parent:
        name = identity(node)
        if name not in names:
            found.append(node)
        elif name not in placed:
            found += named[name]
            placed.add(name)
    return (*found, *(node for node in child if identity(node) not in placed))


def without_nulls(node: Node) -> Node:
    """The tree without keys whose value is null, because nothing is left for them to remove."""
    if isinstance(node.value, dict):
        entries = {key: without_nulls(value) for key, value in node.value.items() if value.value is not None}
        return dataclasses.replace(node, value=entries)
    if isinstance(node.value, tuple):
        return dataclasses.replace(node, value=tuple(without_nulls(item) for item in node.value))
    return node


def check_duplicates(top: Node, problems: Problems) -> None:
    """Within one file no list may name a package twice, because that is a mistake. Python packages may have one
    entry for each of several markers."""
    for key, identity in IDENTITIES.items():
        first: dict[str, Node] = {}
        markers: dict[str, list[str]] = {}
        for node in top.entries[key].items if key in top.entries else ():
            name = identity(node)
            if name is None:
                continue
            marker = str(_marker(node) or "") if key == "pip" else ""
            before = markers.setdefault(name, [])
            if name in first and (not marker or "" in before or marker in before):
                hint = f"line {first[name].mark.line} gives it first; keep one"
                hint += ", or give each a marker of its own (NAME==1; python_version < '3.12')" if key == "pip" else ""
                problems.add(f"{quote(name)} is given twice in '{key}'", node.mark, hint=hint)
            first.setdefault(name, node)
            before.append(marker)
