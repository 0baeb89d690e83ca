"""Where devenv's things lie on a box: one folder of its user, which `targets rm` removes."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path, PurePosixPath

from devenv.errors import UsageError

FOLDER = "devenv-remote"
"""Below XDG_DATA_HOME or ~/.local/share."""
LACKING = 97
"""The status of `start` where this devenv is not there."""
_START = (
    'd="${XDG_DATA_HOME:-$HOME/.local/share}/devenv-remote/versions/$1"; [ -x "$d/run" ] || exit 97; '
    'shift; exec "$d/run" "$@"'
)
REMOVE = 'rm -rf -- "${XDG_DATA_HOME:-$HOME/.local/share}/devenv-remote"'
_ID = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def start(key: str, *words: str) -> tuple[str, ...]:
    """The command that runs the devenv `key` on a box; its status is LACKING where that is not there."""
    return ("sh", "-c", _START, "devenv", key, *words)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """A project's folder on a box. `id` names laptop and project, so that two laptops never share one; `name`: of the
    folder."""

    id: str
    name: str

    @classmethod
    def of(cls, laptop: str, project: Path) -> There:
        """The folder for a project of this machine."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", project.name).lstrip(".-_")[:100] or "project"
        digest = hashlib.sha256(f"{laptop}\0{project}".encode("utf-8", "surrogateescape")).hexdigest()
        return cls(id=digest[:16], name=name)

    @classmethod
    def parse(cls, text: str) -> There:
        """From the words of a command line. Raises UsageError."""
        id_, _, name = text.partition("/")
        if not _ID.fullmatch(id_) or not _NAME.fullmatch(name):
            raise UsageError(f"{text!r} names no project")
        return cls(id=id_, name=name)

    @property
    def text(self) -> str:
        """For a command line."""
        return f"{self.id}/{self.name}"

    def path(self, top: Path) -> Path:
        """The folder, in that of the box."""
        return top / "projects" / self.id / self.name


def relative(project: Path, folder: Path) -> str:
    """A folder in the project, for the other machine."""
    return PurePosixPath(folder.relative_to(project)).as_posix()
