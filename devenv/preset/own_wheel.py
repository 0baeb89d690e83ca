"""A wheel that a preset names by its path or address: a PEP 508 reference to that file, with the file's hash."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from devenv.doors import files
from devenv.preset.requirement import parsed

MOST_BYTES = 1 << 30
"""Limits a wheel's size, because a wheel is hashed whenever its preset is loaded."""
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]*\.whl")
"""The valid names of such a file."""
_URL = re.compile(r"file://(?P<path>/[!-~]*\.whl)#sha256=(?P<sha256>[0-9a-f]{64})")
_ADDRESS = re.compile(r"(?P<url>https?://[^@/?#\s]+/[^?#\s]*\.whl)#sha256=(?P<sha256>[0-9a-f]{64})")
"""Without a login, which would be kept, and without a query, which may be one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OwnWheel:
    """The file (its path, or its address), and the package name and version from its file name."""

    path: Path | None
    url: str | None = None
    file: str
    name: str
    version: str
    sha256: str


def named(entry: str) -> str | None:
    """The path in an entry of `pip` that names a wheel, by itself or as `reference` writes it; None in others."""
    if entry.endswith(".whl") and "://" not in entry and not re.search(r"\s@\s", entry):
        return entry
    try:
        url = parsed(entry).url or ""
    except InvalidRequirement:
        return None
    return unquote(re.sub("^file:(//)?", "", url.partition("#")[0])) if url.startswith("file:") else None


def reference(path: Path) -> str:
    """The requirement that stands for the wheel at `path`. Raises ValueError for one that is not called as wheels are,
    OSError."""
    try:
        name, _, _, _ = parse_wheel_filename(path.name if FILE.fullmatch(path.name) else "")
    except InvalidWheelFilename:
        raise ValueError("a wheel is called NAME-VERSION-PYTHON-ABI-PLATFORM.whl") from None
    digest, size = hashlib.sha256(), 0
    for chunk in files.chunks(path):
        digest.update(chunk)
        size += len(chunk)
        if size > MOST_BYTES:
            raise ValueError("it is larger than 1 GiB")
    return f"{name} @ {path.as_uri()}#sha256={digest.hexdigest()}"


def own_wheel(requirement: str) -> OwnWheel | None:
    """The wheel that a requirement refers to; None for a package of an index. Raises ValueError."""
    asked = parsed(requirement)
    found = _URL.fullmatch(asked.url or "") or _ADDRESS.fullmatch(asked.url or "")
    if found is None:
        return None
    url = found.groupdict().get("url")
    path = None if url else Path(unquote(found["path"]))
    file = unquote(url).rpartition("/")[2] if url else path.name if path else ""
    name, version, _, _ = parse_wheel_filename(file if FILE.fullmatch(file) else "")
    if url and name != canonicalize_name(asked.name):
        raise ValueError(f"the address is that of {name}, not of {asked.name}")
    return OwnWheel(path=path, url=url, file=file, name=name, version=str(version), sha256=found["sha256"])
