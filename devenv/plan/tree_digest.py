"""The relevant files of a folder, and the digests that decide whether something is made again. Reads only."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from devenv.doors import files
from devenv.errors import PresetError


def tree(root: Path) -> Mapping[str, str]:
    """Relative path → mode and sha256 of every file below `root` (or of the file itself), sorted."""
    return dict(_entries(root))


def _entries(root: Path) -> Iterator[tuple[str, str]]:
    for path in walk(root):
        name = path.relative_to(root).as_posix() if path != root else "."
        executable, sha256 = _facts(path, within(root))
        yield name, ("x" if executable else "-") + sha256


def within(root: Path) -> Path:
    """The folder that relevant files must lie in, also through links: `root`, or that of the one file."""
    return root if root.is_dir() else root.parent


def _facts(path: Path, inside: Path) -> tuple[bool, str]:
    """Whether its owner may execute it, and its sha256."""
    digest = hashlib.sha256()
    try:
        with files.opened(path, inside=inside) as file:
            executable = bool(os.fstat(file.fileno()).st_mode & 0o100)
            while chunk := file.read(files.CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise unusable(path, error) from None
    return executable, digest.hexdigest()


def unusable(path: Path, error: OSError) -> PresetError:
    """The error of a file that a preset names and that cannot be read."""
    return PresetError(f"cannot read {path}: {files.reason(error)}", hint=files.hint(error))


def walk(root: Path) -> Iterable[Path]:
    """Every relevant regular file of a folder, sorted; a file itself when `root` is one.

    Left out: bytecode and notebook check points, which come and go by themselves. Links that point to nothing or out
    of the folder are refused with PresetError.
    """
    if root.is_file():
        return (root,)
    if not root.is_dir():
        raise PresetError(f"{root} does not exist", hint="the preset names it: create it or remove the line")
    real = root.resolve()
    found = []
    for path in sorted(root.rglob("*")):
        if any(part in _LEFT_OUT for part in path.relative_to(root).parts):
            continue
        if path.is_symlink() and not (path.exists() and path.resolve().is_relative_to(real)):
            raise PresetError(f"{path} is a link that leaves its folder", hint="copy the file there instead")
        if path.is_file():
            found.append(path)
    return found


_LEFT_OUT = frozenset({"__pycache__", ".ipynb_checkpoints", ".git", ".DS_Store"})


def digest(value: Any) -> str:
    """sha256 (hex) of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
