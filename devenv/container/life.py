"""The end of an environment's life: stopped, or removed with or without its volumes."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterable

from devenv.container import condition, container, devcontainer, network, once, owner
from devenv.container.container import STOP_TIMEOUT_S
from devenv.container.environments import Environments
from devenv.container.labels import Running
from devenv.container.state import Environment
from devenv.doors.docker.engine import Engine
from devenv.errors import NotReadyError, UsageError

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
    made = environments.devcontainer(name, all_users=all_users)
    state = environments.state_of(made) if made else environments.state(name)
    with state.locked(lambda: _waiting(note)):
        one = container.again(made, environments.engine()) if made else environments.now(name, all_users=all_users)
        if one and not condition.can_start(one):
            note(f"{name} is {one.facts.state}: {condition.remedy(one)}")
            return
        if one:
            environments.engine().stop(one.facts.name, timeout_s=STOP_TIMEOUT_S)
            _end_sessions(state, made)
    note(f"{name} is stopped")


def down(name: str, environments: Environments, removal: Removal, *, note: Note) -> None:
    """Remove an environment's container and network; of a dev container the container alone, because the volumes are
    its client's. Raises UsageError, before anything is removed, for what is another user's; NotReadyError while another
    container has volumes that are to go, EngineError."""
    engine = environments.engine()
    if made := environments.devcontainer(name, all_users=removal.all_users):
        _down_devcontainer(made, environments, removal, note)
        return
    state = environments.state(name)
    with state.locked(lambda: _waiting(note)):
        one = environments.now(name, all_users=removal.all_users)
        lost = owner.removable(state, engine, one, all_users=removal.all_users) if removal.volumes else ()
        if removal.volumes:
            once.remove_left(state, engine)
            once.check_unused(state, engine)
            engine.remove_readers()  # one of a killed run that filled the volumes still has them
            _check_unused(lost, state.container, engine)
        if one:
            condition.remove(one, engine)
            _end_sessions(state, made)
        if not network.remove(state, engine, everybodys=removal.all_users or one is not None):
            note(f"kept the network {state.network}: another container is connected to it")
        if removal.ports:
            state.keep_ports({})
        if removal.volumes:
            for volume in lost:
                engine.remove_volume(volume)
            state.forget()
    note(f"{name} is down" + ("; its volumes are removed" if removal.volumes else "; its volumes are kept"))


def _end_sessions(state: Environment, made: Running | None) -> None:
    """Not of a dev container, whose sessions are its boot's, nor of another user's environment."""
    if made is None and state.token_file.exists():
        state.end_sessions()


def _down_devcontainer(one: Running, environments: Environments, removal: Removal, note: Note) -> None:
    engine, state, kept = environments.engine(), environments.state_of(one), devcontainer.volumes(one)
    if removal.volumes:
        raise UsageError(
            f"a dev container client made {one.name!r}, so its volumes are not devenv's to remove",
            hint=f"devenv down {one.name}" + (f"; then: docker volume rm {' '.join(kept)}" if kept else ""),
        )
    with state.locked(lambda: _waiting(note)):
        if now := container.again(one, engine):
            condition.remove(now, engine)
        shutil.rmtree(state.folder, ignore_errors=True)
    note(f"{one.name} is down; its volumes are kept" + (f": {', '.join(kept)}" if kept else ""))


def _check_unused(volumes: Iterable[str], own: str, engine: Engine) -> None:
    """Raise NotReadyError while a container other than `own` has one of the volumes."""
    for volume in volumes:
        others = [one.name for one in engine.containers_with(volume) if one.name != own]
        if others:
            raise NotReadyError(
                f"the volume {volume} is in use by another container: {', '.join(others)}",
                hint=f"remove it first: docker rm --force {others[0]}; or keep the volumes: 'devenv down' without "
                "--volumes",
            )


def _waiting(note: Note) -> None:
    note("another devenv command is using this environment; waiting")
