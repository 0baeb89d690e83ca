"""Git worktrees and submodules: their `.git` is a file, and what it names lies outside of the mounted project.

Anyone can write such a file. So a folder of the host is mounted for it only when it is a git folder of the project's
owner that names this very worktree back.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from devenv.doors import files
from devenv.preset.checks import RESERVED_MOUNTS

_MOST_BYTES = 4096  # the longest path that Linux accepts
# Paths that the image or devenv uses: a mount would hide them, or be made in the project itself. Below
# /mnt lies only the environment's own volume, and on many a host all projects.
_IMAGES = tuple(mount for mount in RESERVED_MOUNTS if mount != "/mnt")


class OutsideError(Exception):
    """The reason why git will not work in the container."""


def outside(project: Path) -> tuple[Path, ...]:
    """What git needs at the path that it has on the host: of a worktree the git folder that it shares with the main
    checkout, and the worktree, because git takes the record of one that is not there for a leftover. Nothing of others.

    Raises OutsideError where git needs a folder that must not be mounted.
    """
    link = project / ".git"
    if not _is(link, stat.S_IFREG):
        if link.is_symlink() and files.leads_out(link, project):
            raise OutsideError("its .git is a link that leads out of it; bring up the folder that it belongs to")
        return ()
    try:
        kind, _, named = files.read_text(link, most_bytes=_MOST_BYTES, inside=project).partition(": ")
    except OSError as error:
        raise OutsideError(f"its .git cannot be read: {files.reason(error)}") from None
    record = Path(named.strip("\r\n"))
    if kind != "gitdir" or not (record.is_absolute() or files.leads_out(project / record, project)):
        return ()
    if record.parent.name != "worktrees":
        raise OutsideError(
            f"its .git names {record}, as that of a submodule does, which is a part of the outer repository; bring "
            "that one up: devenv up --workspace OUTER"
        )
    if not record.is_absolute():
        raise OutsideError(
            "its .git has a relative path, which leads elsewhere in the container; bring up the main checkout"
        )
    return _own(record, project)


def _own(record: Path, project: Path) -> tuple[Path, Path]:
    """The git folder and the worktree, when `record` is the worktree `project`'s, in its owner's repository. Raises
    OutsideError."""
    common = record.parents[1]
    if not _is(record, stat.S_IFDIR) or os.path.realpath(record) != str(record):
        raise OutsideError(f"its .git names {record}, which does not exist or is a link; try: git worktree repair")
    if common.is_relative_to(os.path.realpath(project)) or not _is_repository(common):
        raise OutsideError(f"its .git names {record}, which is not the record of a worktree")
    owner = project.stat().st_uid
    if any(path.lstat().st_uid != owner for path in (common, record.parent, record)):
        raise OutsideError(f"{common} belongs to another user than the project")
    back = Path(_text(record / "gitdir"))
    if _text(record / "commondir") != "../.." or back.name != ".git" or not files.is_same(str(back.parent), project):
        raise OutsideError(f"{record} is the record of another worktree; after a move: git worktree repair")
    for folder in (common, back.parent):
        if not folder.is_absolute() or _is_taken(folder, owner):
            raise OutsideError(f"{folder} cannot be mounted, because the environment needs that path itself")
    return common, back.parent


def _is_taken(folder: Path, owner: int) -> bool:
    """Whether the image has something on, above or below the path. /root is closed to all but root, who is the user
    inside for a project of root's own."""
    taken = [Path(one) for one in _IMAGES if one != "/root" or owner != 0]
    return any(folder.is_relative_to(one) or one.is_relative_to(folder) for one in taken)


def _is_repository(folder: Path) -> bool:
    """Whether it has what every git folder has, and none of it is a link."""
    parts = {"HEAD": stat.S_IFREG, "objects": stat.S_IFDIR, "refs": stat.S_IFDIR, "worktrees": stat.S_IFDIR}
    return all(_is(folder / name, kind) for name, kind in parts.items())


def _is(path: Path, kind: int) -> bool:
    try:
        return stat.S_IFMT(path.lstat().st_mode) == kind
    except OSError:
        return False


def _text(path: Path) -> str:
    try:
        return files.read_text(path, most_bytes=_MOST_BYTES, inside=path.parent).strip("\r\n")
    except OSError:
        return ""
