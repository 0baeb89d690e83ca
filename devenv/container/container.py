"""Containers of environments on the engine: found, created, started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devenv.container import network as networks
from devenv.container.labels import Running, describe, of_devcontainer
from devenv.container.ports import choose_ports, kept_ports
from devenv.container.state import Environment
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.docker.values import ContainerSpec
from devenv.doors.machine.ports import port_is_free
from devenv.errors import EngineError, NotReadyError

if TYPE_CHECKING:
    from devenv.plan.plan import Plan

STOP_TIMEOUT_S = 5


class PortTakenError(NotReadyError):
    """Another program bound a chosen port before the container's start."""


def ports_for(plan: Plan, environment: Environment, engine: Engine, *, anew: bool = False) -> dict[int, int]:
    """The environment's host ports: its existing ones (unless `anew`), and free ones for new services. Remembers
    them, and those of its other role.

    Raises NotReadyError when another program now uses a kept port.
    """
    kept = {} if anew else environment.ports()
    wanted = tuple(inside for _, inside in plan.ports)
    others_role = {inside: outside for inside, outside in kept.items() if inside in plan.other_ports}
    running = engine.container(environment.container)
    own = {outside for _, outside in running.ports} if running and running.state == "running" else set()
    others = frozenset(
        outside
        for container in engine.containers(f"{LABEL}name")
        if container.name != environment.container
        for _, outside in container.ports
    )
    for inside, outside in kept.items():
        if inside in wanted and outside not in own and not port_is_free(outside):
            raise NotReadyError(
                f"port {outside} on 127.0.0.1 is assigned to this environment, but another program is using it",
                hint=f"stop that program (find it: ss -ltnp 'sport = :{outside}'), or release the port: "
                f"devenv down {environment.name} --ports; then run the command again",
            )
    others |= kept_ports(environment.folder.parent, environment.name)
    others |= frozenset(others_role.values())
    chosen = {**others_role, **choose_ports(wanted, kept, others)}
    if chosen != kept:
        environment.keep_ports(chosen)
    return {inside: chosen[inside] for inside in wanted}


def new_volumes(spec: ContainerSpec, engine: Engine) -> frozenset[str]:
    """The mount points whose volumes do not exist yet."""
    mounts = [one for one in spec.mounts if one.kind == "volume" and not one.read_only]
    return frozenset(one.target for one in mounts if engine.volume(one.source) is None)


def create(spec: ContainerSpec, environment: Environment, engine: Engine) -> None:
    """Create network, volumes and container; replaces a container of that name. Raises EngineError, UsageError."""
    project = dict(spec.labels)[f"{LABEL}project"]
    if spec.network:
        networks.ensure(environment, engine, project)
    for mount in spec.mounts:
        if mount.kind == "volume" and not mount.read_only:  # a model's is read-only, and weights.volume made it
            engine.ensure_volume(mount.source, environment.labels(project))
    engine.remove(spec.name)
    engine.create(spec)


def start(name: str, engine: Engine) -> None:
    """Start an existing container. Raises PortTakenError, EngineError."""
    try:
        engine.start(name)
    except EngineError as error:
        if "address already in use" in error.message or "port is already allocated" in error.message:
            raise PortTakenError(
                "another program is using a port of this environment",
                detail=error.message,
                hint="run the command again, or free the port",
            ) from None
        raise


def find(name: str, engine: Engine) -> Running | None:
    """The environment's container, running or not."""
    facts = engine.container(f"devenv-{name}")
    return describe(facts) if facts else None


def again(running: Running, engine: Engine) -> Running | None:
    """The same container as it is now, or None."""
    facts = engine.container(running.facts.name)
    if facts is None:
        return None
    return of_devcontainer(facts) if running.is_devcontainer else describe(facts)


def everything(engine: Engine) -> tuple[Running, ...]:
    """Every container on this engine that is labelled as an environment, those that are `unreadable` too."""
    return tuple(describe(facts) for facts in engine.containers(f"{LABEL}name"))
