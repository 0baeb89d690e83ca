"""Wheels of metadata alone, which show uv the packages that have a source and no wheel."""

from __future__ import annotations

import zipfile
from pathlib import Path

_WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def placeholder(name: str, version: str, python: str) -> str:
    """The metadata of a version of which nothing more is known than the index says: uv decides whether it would do."""
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    if python:
        lines.append(f"Requires-Python: {python}")
    return "\n".join(lines) + "\n"


def offer(folder: Path, name: str, version: str, metadata: str) -> None:
    """Put a version's metadata into the folder, in the form of a wheel for every platform."""
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{stem}.dist-info/METADATA", metadata)
        wheel.writestr(f"{stem}.dist-info/WHEEL", _WHEEL)
        wheel.writestr(f"{stem}.dist-info/RECORD", "")
