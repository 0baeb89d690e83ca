"""The differences between two locks, package by package, for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from devenv.lock.model import Artifact, Lock

_Files = frozenset[tuple[str, str]]
"""(version, sha256) of a package's files."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One package: its version before and after; None where it is missing."""

    kind: str
    name: str
    old: str | None
    new: str | None


def changes(old: Lock | None, new: Lock) -> tuple[Change, ...]:
    """Every added, removed or changed package; by kind and name."""
    before, after = _versions(old) if old else {}, _versions(new)
    return tuple(
        _change(kind, name, before.get((kind, name)), after.get((kind, name)))
        for kind, name in sorted(before.keys() | after.keys())
        if before.get((kind, name)) != after.get((kind, name))
    )


def _change(kind: str, name: str, before: _Files | None, after: _Files | None) -> Change:
    old, new = _shown(before), _shown(after)
    if old == new:  # another file of the same version
        old, new = _shown(before, hashes=True), _shown(after, hashes=True)
    return Change(kind=kind, name=name, old=old, new=new)


def _versions(lock: Lock) -> dict[tuple[str, str], _Files]:
    editor = lock.editor
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}

    def add(kind: str, artifacts: Iterable[Artifact]) -> None:
        for artifact in artifacts:
            found.setdefault((kind, artifact.name), set()).add((artifact.version, artifact.sha256))

    add("base", lock.base.packages)
    add("apt", lock.apt)
    add("pip", lock.installed)
    add("build", lock.for_builds)
    add("tool", (lock.uv, *((lock.node,) if lock.node else ())))
    add("editor", (editor.archive, *editor.packages) if editor else ())
    add("toolchain", (*lock.debs()["toolchain"], *lock.debs()["sources"]))
    add("npm", lock.npm.packages)
    add("extension", lock.extensions)
    if lock.model:
        found["model", lock.model.name] = {(lock.model.digest[:12], "")}
    if lock.base.image:
        found["base", lock.base.image] = {(lock.base.digest or "", "")}
    return {key: frozenset(value) for key, value in found.items()}


def _shown(versions: _Files | None, *, hashes: bool = False) -> str | None:
    if not versions:
        return None
    return ", ".join(
        sorted({f"{version} (sha256 {sha256[:12]}…)" if hashes else version for version, sha256 in versions})
    )
