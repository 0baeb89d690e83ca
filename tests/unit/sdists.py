"""Source archives of Python packages, made by hand."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

PLAIN = "Metadata-Version: 1.1\nName: {name}\nVersion: {version}\n"


def sdist(folder: Path, name: str, version: str, files: Mapping[str, str] | None = None, info: str = PLAIN) -> Path:
    """NAME-VERSION.tar.gz with a PKG-INFO and these files."""
    path = folder / f"{name}-{version}.tar.gz"
    texts = {
        "PKG-INFO": info.format(name=name, version=version),
        **(files or {"setup.py": "from setuptools import setup\n"}),
    }
    with tarfile.open(path, "w:gz") as archive:
        for file, text in texts.items():
            member = tarfile.TarInfo(f"{name}-{version}/{file}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def tar(path: Path, *members: tarfile.TarInfo) -> Path:
    """A compressed tar of these members."""
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size) if member.isreg() else None)
    return path


def link(name: str, target: str, *, hard: bool = False) -> tarfile.TarInfo:
    """A link as a member."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.LNKTYPE if hard else tarfile.SYMTYPE, target
    return member


def wheel_file(folder: Path, name: str, version: str, *, tag: str = "py3-none-any", says: str | None = None) -> Path:
    """A wheel with one module; its METADATA is that of NAME, or of the package that `says` names."""
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "X = 1\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {says or name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/RECORD,,\n{info}/METADATA,,\n")
    return path
