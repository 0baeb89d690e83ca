"""What the engine is asked for first: it compares two trees, where this user cannot read the container's layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from devenv.container.labels import Running
from devenv.doors.docker.engine import Engine
from devenv.doors.thread import in_thread

if TYPE_CHECKING:
    from concurrent.futures import Future

    from devenv.doors.docker.changes import Listed


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """`facts` of a container (`docker inspect`), and its changes when they come."""

    facts: Mapping[str, Any]
    listed: Future[Listed]


def begin(running: Running, engine: Engine) -> Begun:
    """Ask for both. Until the changes are there, the engine answers nothing else about the container. Raises
    EngineError."""
    facts = engine.inspection(running.facts.id)
    return Begun(facts=facts, listed=in_thread("changes", partial(engine.changes, running.facts.id)))
