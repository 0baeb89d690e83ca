"""An editor extension's own statement: the package.json in its .vsix, as VS Code reads it."""

from __future__ import annotations

import dataclasses
import posixpath
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from devenv.doors.untrusted import from_json

_PLACE = "extension/package.json"
_MOST_BYTES = 16 << 20
MOST_PACKED_BYTES = 1 << 30
"""The limit for a .vsix whose size nothing tells."""
_MOST_UNPACKED_BYTES = 4 << 30
"""zipfile reads no more of a member than the size that the archive gives for it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`engine`: the versions of VS Code that it is for. `needs`: ids of extensions that it cannot work without;
    `pack`: of those that come with it. Ids are unchecked."""

    id: str
    version: str
    engine: str = "*"
    needs: tuple[str, ...] = ()
    pack: tuple[str, ...] = ()


def manifest(path: Path) -> Manifest:
    """The manifest of a .vsix. Raises ValueError, LookupError, zipfile's errors and RuntimeError for a damaged one."""
    with zipfile.ZipFile(path) as archive:
        _check_members(archive.infolist())
        if archive.getinfo(_PLACE).file_size > _MOST_BYTES:
            raise ValueError(f"{_PLACE} is too large")
        with archive.open(_PLACE) as file:
            package = from_json(file.read(_MOST_BYTES))
    if not isinstance(package, dict):
        raise ValueError(f"{_PLACE} is not an object")
    words = [package.get(key) for key in ("publisher", "name", "version")]
    if not all(isinstance(word, str) for word in words):
        raise ValueError("it does not contain its name")
    engines = package.get("engines")
    engine = engines.get("vscode", "*") if isinstance(engines, dict) else "*"
    return Manifest(
        id=f"{words[0]}.{words[1]}", version=str(words[2]), engine=str(engine),
        needs=_texts(package.get("extensionDependencies")), pack=_texts(package.get("extensionPack")),
    )  # fmt: skip


def _check_members(members: Iterable[zipfile.ZipInfo]) -> None:
    """Raise ValueError for members that would be unpacked to one place, or that are too large together."""
    seen: set[str] = set()
    unpacked_bytes = 0
    for member in members:
        name = member.filename.removesuffix("/")
        if name != posixpath.normpath(name) or name in (".", "..") or name.startswith(("/", "../")):
            raise ValueError(f"the name of its member {member.filename!r} is not in normal form")
        if name in seen:
            raise ValueError(f"it has the member {name!r} twice")
        seen.add(name)
        unpacked_bytes += member.file_size
    if unpacked_bytes > _MOST_UNPACKED_BYTES:
        raise ValueError(f"it is larger than {_MOST_UNPACKED_BYTES >> 30} GiB unpacked")


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()
