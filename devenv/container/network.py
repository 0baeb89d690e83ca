"""An environment's own network on the engine, so that no code of another environment reaches its container's address.

The engine's clean-up (`docker network prune`) removes a stopped environment's network, so every start of a container
makes it again.
"""

from __future__ import annotations

from devenv.container.state import Environment
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.docker.values import ContainerFacts, NetworkFacts
from devenv.errors import NotReadyError, UsageError


def wanted(environment: Environment, engine: Engine, *, has_ports: bool) -> str:
    """The network that the container gets; empty on an engine that gives containers none (`dockerd --bridge=none`), as
    its administrator chose. Raises NotReadyError when the container has ports, which nothing could reach there."""
    if engine.networks(driver="bridge"):
        return environment.network
    if has_ports:
        raise NotReadyError(
            "this engine gives containers no network, so the services of the environment cannot be reached",
            hint="remove 'bridge: none' from the engine's daemon.json (--bridge=none), or use a preset without ports: "
            "'code_server: null', 'jupyter: null'",
        )
    return ""


def ensure(environment: Environment, engine: Engine, project: str) -> str:
    """The id of the environment's network, made unless it is there. Raises EngineError, and UsageError for a network of
    that name that devenv did not make: others may be on it."""
    found = _find(environment, engine)
    if found is None:
        return engine.create_network(environment.network, environment.labels(project))
    if found.labels.get(f"{LABEL}name") != environment.name:
        raise UsageError(
            f"the network {environment.network!r} exists already, and devenv did not make it",
            hint=f"remove it: docker network rm {environment.network}; "
            "or give the environment another name: devenv up --name …",
        )
    return found.id


def rejoin(facts: ContainerFacts, environment: Environment, engine: Engine) -> None:
    """Have the network of a container that is to be started, and the container on it. A container that an older devenv
    made is on the engine's own network, and stays there. Raises EngineError, UsageError."""
    if facts.network != environment.network:
        return
    id_ = ensure(environment, engine, facts.labels.get(f"{LABEL}project", ""))
    if facts.is_cut_off or facts.network_id not in ("", id_):
        engine.reconnect(facts.name, environment.network, is_cut_off=facts.is_cut_off)


def remove(environment: Environment, engine: Engine, *, everybodys: bool) -> bool:
    """Remove the environment's network; another user's only with `everybodys`. Returns False when it stays because
    another container is connected to it."""
    found = _find(environment, engine)
    if found is None or found.labels.get(f"{LABEL}name") != environment.name:
        return True
    return engine.remove_network(found.id) if everybodys or is_own(found, environment) else True


def unused(engine: Engine) -> tuple[NetworkFacts, ...]:
    """The networks of environments that have no container: a kill, or `docker rm`, leaves them."""
    used = {one.network for label in ("name", "run") for one in engine.containers(f"{LABEL}{label}")}
    networks = engine.networks(label=f"{LABEL}name")
    return tuple(
        network
        for network in networks
        if network.name == f"devenv-{network.labels[f'{LABEL}name']}" and network.name not in used
    )


def is_own(facts: NetworkFacts, environment: Environment) -> bool:
    """Whether devenv made the network for this user's environment."""
    ours = (environment.name, str(environment.folder))
    return (facts.labels.get(f"{LABEL}name"), facts.labels.get(f"{LABEL}owner")) == ours


def _find(environment: Environment, engine: Engine) -> NetworkFacts | None:
    # The engine's filter takes every name that has this one in it.
    networks = engine.networks(name=environment.network)
    return next((network for network in networks if network.name == environment.network), None)
