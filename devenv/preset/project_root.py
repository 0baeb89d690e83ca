"""The project that a folder lies in, found upwards, as git finds a repository."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from devenv.errors import PresetError
from devenv.preset.yaml.nodes import display

PROJECT_FILE = "devenv.yaml"
SHIPPED_FILE = "preset.yaml"
MISSPELT = "devenv.yml"


def above(cwd: Path) -> Path | None:
    """The nearest folder above `cwd` with a devenv.yaml, up to the root of the file system.

    Raises PresetError for another owner than the user or the owner of `cwd`, because anyone can write one into /tmp.
    """
    trusted = {os.getuid(), cwd.stat().st_uid}
    for folder in cwd.parents:
        path = folder / PROJECT_FILE
        try:
            owner = path.lstat().st_uid
        except OSError:
            continue
        if owner not in trusted:
            raise PresetError(
                f"no {PROJECT_FILE} in {display(cwd)}; {display(path)} belongs to another user (uid {owner})",
                hint=f"make one: devenv init; if you trust that one: cd {shlex.quote(str(folder))}",
            )
        return folder
    return None


def has_own(folder: Path) -> bool:
    """Whether a folder has a file that a command without a PRESET uses, or refuses, before it searches above."""
    return any(os.path.lexists(folder / name) for name in (PROJECT_FILE, SHIPPED_FILE, MISSPELT))


def project_of(cwd: Path) -> Path | None:
    """The folder of the project that `cwd` lies in; None where it lies in none."""
    if has_own(cwd):
        return cwd if os.path.lexists(cwd / PROJECT_FILE) else None
    try:
        return above(cwd)
    except PresetError:
        return None
