"""A container's state: continued where that is safe, else the remedy in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from devenv.container import container
from devenv.container.container import STOP_TIMEOUT_S
from devenv.container.labels import Running
from devenv.doors.docker.engine import Engine
from devenv.errors import EngineError, NotReadyError, UsageError

if TYPE_CHECKING:
    from devenv.plan.inside import PlannedService

_WAIT_S = 10.0
_EVERY_S = 0.1


def remedy(running: Running) -> str | None:
    """How to continue with the container, in words; None for one that runs and can be reached."""
    maker = "devcontainer up" if running.is_devcontainer else "devenv up"
    start, up = f"devenv start {running.name}", f"'{maker}' makes its container again, and its volumes are kept"
    return {
        "running": f"it is disconnected from its network; {start}" if running.facts.is_cut_off else None,
        "restarting": f"its programs end, and the engine starts it again and again; to see why: {start}",
        "dead": f"the engine could not remove it; {up}",
        "removing": f"the engine is removing it; {up}",
    }.get(running.facts.state, start)


def can_start(running: Running) -> bool:
    """Whether the engine can start this container."""
    return running.facts.state not in ("dead", "removing")


def require_running(running: Running) -> Running:
    """The container itself. Raises NotReadyError unless it runs."""
    if running.facts.state != "running":
        raise NotReadyError(f"{running.name} is not running ({running.facts.state})", hint=remedy(running))
    return running


class Served(Protocol):
    """An environment with services, on an engine or in a cluster."""

    @property
    def name(self) -> str:
        """What users call it."""

    @property
    def services(self) -> tuple[PlannedService, ...]:
        """Of its role."""


def service_names(served: Served) -> set[str]:
    """The services of the environment that a user can name."""
    return {*(one.name for one in served.services), "gateway"}


def require_service(served: Served, service: str) -> None:
    """Raise UsageError for what is no service of the environment."""
    known = service_names(served)
    if service not in known:
        raise UsageError(f"{served.name} has no service {service!r}; it has: {', '.join(sorted(known))}")


def settled(running: Running, engine: Engine, note: Callable[[str], None]) -> Running | None:
    """The container, now running or stopped; None when it no longer exists. A paused one is resumed, one
    that restarts without an end is stopped first, and a dead one is removed, because its volumes hold all its data.

    Raises NotReadyError, EngineError.
    """
    name, state = running.facts.name, running.facts.state
    if state == "paused":
        note(f"{running.name} was paused: devenv resumes it")
        engine.unpause(name)
    elif state == "restarting":
        note(f"{running.name} ended again and again (exit status {running.facts.exit_code}): devenv starts it once")
        engine.stop(name, timeout_s=STOP_TIMEOUT_S)
    elif not can_start(running):
        note(f"{running.name} is {state}: devenv makes its container again and keeps its volumes")
        remove(running, engine)
    else:
        return running
    return container.again(running, engine)


def remove(running: Running, engine: Engine) -> None:
    """Remove the container in any state; stop it first if it runs. Raises NotReadyError, EngineError."""
    name, state = running.facts.name, running.facts.state
    if state == "removing":
        _wait_gone(running, engine)
        return
    if state in ("running", "paused", "restarting"):
        engine.stop(name, timeout_s=STOP_TIMEOUT_S)
    try:
        engine.remove(name)
    except EngineError as error:
        if state != "dead":
            raise
        raise EngineError(
            f"the engine cannot remove the dead container {name}",
            detail=error.detail or error.message,
            hint="another program may hold its files: restart the Docker Engine, and run the command again",
        ) from None


def _wait_gone(running: Running, engine: Engine) -> None:
    deadline = time.monotonic() + _WAIT_S
    while engine.container(running.facts.name):
        if time.monotonic() > deadline:
            raise NotReadyError(
                f"the engine is still removing the container {running.facts.name}",
                hint=f"run the command again; if it stays so, remove it: docker rm --force {running.facts.name}",
            )
        time.sleep(_EVERY_S)
