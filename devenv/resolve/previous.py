"""The parts of earlier locks for a new one: kept sections, preferred versions, layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from packaging.utils import canonicalize_name

from devenv.errors import LockError
from devenv.lock.model import Deb, Lock, LockedBase, LockedNpm, Source, Vsix, Wheel
from devenv.preset.repository import Repository

P = TypeVar("P", Wheel, Source)
ALL = "*"
"""As a name to upgrade: everything."""
PARENT = "parent"
"""As a name to upgrade: follow the parent's lock again where the pins are the same."""
SECTIONS = ("base", "apt", "pip", "npm", "node", "code_server", "extensions", "uv", "model")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The preset's own lock (`previous`) and its nearest ancestor's (`parent`), without the parts to upgrade.

    `inputs` are the pins of the lock in the making, `depth` the number of ancestors of its preset.
    """

    parent: Lock | None
    previous: Lock | None
    upgrade: frozenset[str]
    inputs: Mapping[str, Any]
    platform: str
    depth: int

    def __post_init__(self) -> None:
        known = {*SECTIONS, ALL, PARENT}
        for lock in self._locks():
            known |= {each.name for each in (*_debs(lock), *lock.installed, *lock.required, *lock.npm.packages)}
            known |= extension_names(lock.extensions)
        spelled = {name: canonicalize_name(name) for name in self.upgrade - known}  # as the preset may have it
        upgrade = frozenset(spelled[name] if spelled.get(name) in known else name for name in self.upgrade)
        object.__setattr__(self, "upgrade", upgrade)
        for name in sorted(upgrade - known):
            import difflib

            near = difflib.get_close_matches(name, sorted(known), 1)
            raise LockError(
                f"the lock has no {name!r} to upgrade",
                hint=f"did you mean {near[0]!r}?" if near else f"sections: {', '.join(SECTIONS)}",
            )

    def take(self, sections: str, get: Callable[[Lock], Any], *, fits: Callable[[Lock], bool] | None = None) -> Any:
        """A section of an earlier lock that was made from the same pins; None when there is none."""
        for lock in self._locks():
            same = all(lock.inputs.get(each) == self.inputs.get(each) for each in sections.split())
            if same and (fits is None or fits(lock)):
                return get(lock)
        return None

    def upgrades(self, section: str, names: Iterable[str]) -> bool:
        """Whether the section, or any package in it, is to be upgraded."""
        return section in self.upgrade or bool(self.upgrade & set(names))

    def debs(self) -> tuple[Deb, ...]:
        """The Debian packages whose versions are preferred."""
        found: dict[str, Deb] = {}
        for lock in self._locks():
            for deb in _debs(lock):
                found.setdefault(deb.name, deb)
        return tuple(deb for name, deb in sorted(found.items()) if name not in self.upgrade)

    def wheels(self) -> tuple[Wheel | Source, ...]:
        """The Python packages whose versions are preferred."""
        return self._preferred(lambda lock: lock.installed)

    def required(self) -> tuple[Wheel | Source, ...]:
        """The same, of the build requirements of packages without wheels."""
        return self._preferred(lambda lock: lock.for_builds)

    def commit(self, place: Repository) -> Source | None:
        """The earlier lock's source of a package in a repository that is named in the same way, unless it is to be
        upgraded."""
        if {"pip", place.name} & self.upgrade:
            return None
        for lock in self._locks():
            pins = lock.inputs.get("pip")
            named = [str(pin) for pin in pins] if isinstance(pins, list) else []
            found = [source for source in lock.sourced if source.name == place.name and source.commit]
            if found and any(pin.startswith(place.name) and place.pin in pin for pin in named):
                return found[0]
        return None

    def _preferred(self, get: Callable[[Lock], Iterable[Wheel | Source]]) -> tuple[Wheel | Source, ...]:
        found: dict[str, Wheel | Source] = {}
        for lock in self._locks() if "pip" not in self.upgrade else ():
            for package in get(lock):
                found.setdefault(package.name, package)
        return tuple(package for name, package in sorted(found.items()) if name not in self.upgrade)

    def archives(self, section: str, debs: tuple[Deb, ...]) -> dict[str, str] | None:
        """The archive dates in an earlier lock with the same packages in that section."""
        wanted = [each.sha256 for each in debs]  # a package's layer does not depend on its archive
        for lock in (self.previous, self.parent):
            if lock is None or [each.sha256 for each in lock.debs()[section]] != wanted:
                continue
            if found := lock.archived(section):
                return found
        return None

    def npm(self) -> LockedNpm | None:
        """The npm section to start from."""
        locks = self._locks() if "npm" not in self.upgrade else ()
        return next((lock.npm for lock in locks if lock.npm.packages), None)

    def extensions(self) -> dict[str, Vsix]:
        """The editor extensions whose versions are preferred, by id in lower case."""
        found: dict[str, Vsix] = {}
        for lock in self._locks() if "extensions" not in self.upgrade else ():
            for vsix in lock.extensions:
                if not extension_names((vsix,)) & self.upgrade:
                    found.setdefault(vsix.name.lower(), vsix)
        return found

    def layered(self, package: P) -> P:
        """The wheel or source in its layer: an ancestor's when it has the same file, else the preset's own."""
        if self.parent is not None:
            layers = {each.sha256: each.layer for each in self.parent.installed}
        else:
            old = self.previous.installed if self.previous is not None else ()
            layers = {each.sha256: each.layer for each in old if (each.layer or 0) < self.depth}
        return package.model_copy(update={"layer": layers.get(package.sha256, self.depth)})

    def layered_debs(self, debs: tuple[Deb, ...], base: LockedBase) -> tuple[Deb, ...]:
        """The preset's Debian packages on `base`, an ancestor's in that one's layer.

        An ancestor's layer has to stand by itself, and to bring the interpreter before wheels need it. So all packages
        share the first layer unless base and Python are the ancestor's and every one of its packages is here.
        """
        ancestor = self.parent or self.previous
        older = ancestor.apt if ancestor is not None else ()
        layers = {each.sha256: each.layer for each in older if self.parent or (each.layer or 0) < self.depth}
        same = ancestor is None or (
            ancestor.base == base and ancestor.inputs.get("python") == self.inputs.get("python")
        )
        stands = same and layers.keys() <= {each.sha256 for each in debs}
        own = self.depth or None
        placed = {each.sha256: layers.get(each.sha256, own) if stands else None for each in debs}
        return tuple(each.model_copy(update={"layer": placed[each.sha256]}) for each in debs)

    def _locks(self) -> tuple[Lock, ...]:
        if ALL in self.upgrade:
            return ()
        order = (self.parent, self.previous) if PARENT in self.upgrade else (self.previous, self.parent)
        return tuple(lock for lock in order if lock is not None and lock.platform == self.platform)


def extension_names(extensions: Iterable[Vsix]) -> set[str]:
    """Their ids, as they are and in lower case: what --upgrade takes."""
    return {spelling for vsix in extensions for spelling in (vsix.name, vsix.name.lower())}


def _debs(lock: Lock) -> tuple[Deb, ...]:
    return (*lock.base.packages, *lock.apt, *lock.debs()["toolchain"], *lock.debs()["sources"])
