"""An editor extension's own statement: the package.json in its .vsix, as VS Code reads it."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

from devenv.doors.untrusted import from_json

_PLACE = "extension/package.json"
_MOST_BYTES = 16 << 20


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


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()
