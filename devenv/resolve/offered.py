"""Packages without wheels as uv is shown them: wheels that hold nothing but metadata."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from devenv.errors import LockError
from devenv.fetch.sources import Listed
from devenv.resolve.wheels import NoWheelError, Offers, Resolved

_WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


class Offering:
    """What uv is shown in one resolution, in `folder`. At first a version's metadata say nothing but its name and its
    Pythons; they are settled when they say what the package requires. `sources_of` lists a package's versions."""

    def __init__(self, folder: Path, sources_of: Callable[[str], dict[str, Listed]]) -> None:
        self._folder = folder
        self._sources_of = sources_of
        self._listed: dict[str, dict[str, Listed]] = {}
        self._settled: set[tuple[str, str]] = set()
        self._floors: dict[str, str] = {}
        self._given_up: set[str] = set()

    @property
    def offers(self) -> Offers:
        """As uv is asked."""
        versions = {name: frozenset(each) for name, each in self._listed.items()}
        return Offers(folder=self._folder if versions else None, versions=versions, floors=dict(self._floors))

    def listed(self, name: str, version: str) -> Listed:
        """Where the index has the source of a version that is offered."""
        return self._listed[name][version]

    def unsettled(self, chosen: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The chosen versions whose requirements uv does not know yet."""
        return [each for each in chosen if each not in self._settled]

    def settle(self, name: str, version: str, metadata: str) -> None:
        """Offer a version with the metadata that it has."""
        self._listed.setdefault(name, {}).setdefault(version, Listed("", "", None))
        self._settled.add((name, version))
        self._write(name, version, metadata)

    def answers(self, error: LockError) -> bool:
        """Whether there is something else to ask after uv found no solution: more sources, or lower floors."""
        if isinstance(error, NoWheelError) and self._add(error.names):
            return True
        tried = bool(self._floors)
        self._given_up |= self._floors.keys()
        self._floors = {}
        return tried

    def improves(self, result: Resolved) -> bool:
        """Whether there may be a better solution than this one, and it is to be asked for."""
        # An old version without the extra is no answer, where newer ones only need a package without wheels.
        older = {name: version for name, version, _ in result.lacking if name not in self._given_up}
        if older.items() - self._floors.items():
            self._floors |= older
            return True
        # uv takes a pre-release only where no release has a wheel, and a release with a source is better.
        return self._add(wheel.name for wheel in result.wheels if Version(wheel.version).is_prerelease)

    def _add(self, names: Iterable[str]) -> bool:
        """Offer the sources of these packages; whether there are any that were not offered."""
        found = {name: self._sources_of(name) for name in map(canonicalize_name, names) if name not in self._listed}
        for name, versions in found.items():
            if versions:
                self._listed[name] = versions
            for version, listed in versions.items():
                self._write(name, version, _placeholder(name, version, listed.python))
        return any(found.values())

    def _write(self, name: str, version: str, metadata: str) -> None:
        """Put a version's metadata into the folder, in the form of a wheel for every platform."""
        stem = f"{name.replace('-', '_')}-{version}"
        with zipfile.ZipFile(self._folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{stem}.dist-info/METADATA", metadata)
            wheel.writestr(f"{stem}.dist-info/WHEEL", _WHEEL)
            wheel.writestr(f"{stem}.dist-info/RECORD", "")


def _placeholder(name: str, version: str, python: str) -> str:
    """The metadata of a version of which nothing more is known than the index says: uv decides whether it would do."""
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    with contextlib.suppress(InvalidSpecifier):
        lines += [f"Requires-Python: {SpecifierSet(python)}"] if python else []
    return "\n".join(lines) + "\n"
