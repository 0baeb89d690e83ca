"""Containers that a dev container client made from a devcontainer.json of devenv's: found, whose they are, their token.

The client has them and their volumes; devenv keeps no state of its own for them.
"""

from __future__ import annotations

import contextlib
import re
import stat
from pathlib import Path

from devenv.container.labels import Running, of_devcontainer
from devenv.doors.docker.engine import LABEL, Engine
from devenv.errors import EngineError
from devenv.plan.told import DEVCONTAINER

_TOKEN = "/run/devenv/token"  # noqa: S105 - where each boot writes it
_IS_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")


def everything(engine: Engine) -> tuple[Running, ...]:
    """Every such container on this engine, those that are `unreadable` too."""
    found = engine.containers(DEVCONTAINER)
    return tuple(of_devcontainer(facts) for facts in found if f"{LABEL}name" not in facts.labels)


def is_own(running: Running, uid: int) -> bool:
    """Whether it is this user's: the folder that it has at /workspace belongs to the user."""
    if running.unreadable or not running.project:
        return False
    try:
        status = Path(running.project).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid


def token(running: Running, engine: Engine) -> str | None:
    """The token that the container's boot made; None when it does not run or shows none."""
    if running.facts.state != "running":
        return None
    with contextlib.suppress(EngineError):  # it ended meanwhile
        code, out, _ = engine.exec(running.facts.name, ["head", "-c", "201", _TOKEN], user="root")
        if code == 0 and _IS_TOKEN.fullmatch(out.strip()):
            return out.strip()
    return None


def volumes(running: Running) -> tuple[str, ...]:
    """The names of its volumes, without that of a model, which others read too."""
    return tuple(one.source for one in running.facts.mounts if one.kind == "volume" and not one.read_only)
