"""The end of an environment's life: stopped, or removed with or without its volumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from devenv.container import condition, network, once, owner
from devenv.container.container import STOP_TIMEOUT_S
from devenv.container.environments import Environments

Note = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What goes with an environment's container: its `volumes` with all their data, and its `ports`, so that the next
    `up` chooses new ones. `all_users`: also another user's environment."""

    volumes: bool = False
    ports: bool = False
    all_users: bool = False


def stop(name: str, environments: Environments, *, note: Note, all_users: bool = False) -> None:
    """Stop an environment; everything in it is kept. Raises UsageError, EngineError."""
    with environments.state(name).locked(lambda: _waiting(note)):
        one = environments.now(name, all_users=all_users)
        if one and not condition.can_start(one):
            note(f"{name} is {one.facts.state}: {condition.remedy(one)}")
            return
        if one:
            environments.engine().stop(one.facts.name, timeout_s=STOP_TIMEOUT_S)
    note(f"{name} is stopped")


def down(name: str, environments: Environments, removal: Removal, *, note: Note) -> None:
    """Remove an environment's container and network. Raises UsageError, before anything is removed, for what is another
    user's; NotReadyError while 'devenv run' has volumes that are to go, EngineError."""
    state, engine = environments.state(name), environments.engine()
    with state.locked(lambda: _waiting(note)):
        one = environments.now(name, all_users=removal.all_users)
        lost = owner.removable(state, engine, one, all_users=removal.all_users) if removal.volumes else ()
        if removal.volumes:
            once.remove_left(state, engine)
            once.check_unused(state, engine)
        if one:
            condition.remove(one, engine)
        if not network.remove(state, engine, everybodys=removal.all_users or one is not None):
            note(f"kept the network {state.network}: another container is connected to it")
        if removal.ports:
            state.keep_ports({})
        if removal.volumes:
            engine.remove_readers()  # one of a killed run that filled the volumes still has them
            for volume in lost:
                engine.remove_volume(volume)
            state.forget()
    note(f"{name} is down" + ("; its volumes are removed" if removal.volumes else "; its volumes are kept"))


def _waiting(note: Note) -> None:
    note("another devenv command is using this environment; waiting")
