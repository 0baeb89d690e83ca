"""The user in the container, chosen so that files in a mounted project belong to the same user on both sides."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from devenv.doors.settings.settings import Settings
from devenv.errors import NotReadyError
from devenv.plan.inside import UID


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The user in the container, by uid and gid; `outside` is the uid of that user's files on this machine."""

    uid: int
    gid: int
    outside: int


def container_user(settings: Settings, project: Path | None, *, rootless: bool = False) -> User:
    """The host's user; for root the project's owner, who may be root as well. In a rootless engine the host's user is
    root inside, and other numbers are nobody's outside. Without a project never root."""
    if rootless:
        number = 0 if project else UID  # the host user's uid may be outside of the engine's range
        return User(uid=number, gid=number, outside=settings.uid)
    if settings.uid == 0 and project is not None:
        owner = project.stat()
        return User(uid=owner.st_uid, gid=(owner.st_gid or UID) if owner.st_uid else 0, outside=owner.st_uid)
    uid = settings.uid or UID
    return User(uid=uid, gid=settings.gid or UID, outside=uid)


def check_workspace(project: Path, user: User) -> str | None:
    """A warning or note about the user in the container and the project folder: it cannot be written, or the user is
    root. None when all is well. Raises NotReadyError when the folder is unreadable."""
    if not os.access(project, os.R_OK | os.X_OK):
        raise NotReadyError(
            f"cannot read the project folder {project}", hint=f"make it yours: sudo chown -R $USER {project}"
        )
    status, uid = project.stat(), user.outside
    if status.st_uid != uid and not status.st_mode & 0o002:
        return (
            f"warning: {project} belongs to uid {status.st_uid}, but you run as uid {uid} in the container, "
            f"so you cannot write these files; change their owner: sudo chown -R {uid} {project}"
        )
    if user.uid == uid == 0:
        return f"you are root, and root owns {project}: you run as root in the container, and new files are root's"
    if user.uid == 0:
        return (
            f"the engine is rootless: you run as root in the container, which is uid {uid} on this machine, "
            "so new files are yours"
        )
    return None
