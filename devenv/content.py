"""What counts of a folder, and the digests that decide whether something has to be made anew. Reads only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from devenv.errors import PresetError


def tree(root: Path) -> Mapping[str, str]:
    """Relative path → mode and sha256 of every file below `root` (or of the file itself), sorted."""
    return dict(_entries(root))


def _entries(root: Path) -> Iterator[tuple[str, str]]:
    for path in walk(root):
        name = path.relative_to(root).as_posix() if path != root else "."
        executable = "x" if path.stat().st_mode & 0o100 else "-"
        yield name, executable + hashlib.sha256(path.read_bytes()).hexdigest()


def walk(root: Path) -> Iterable[Path]:
    """Every regular file of a folder that counts, sorted; a file itself when `root` is one.

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
