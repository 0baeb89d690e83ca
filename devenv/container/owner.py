"""The owner of an environment, from its container, volumes and state; and who may act on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from devenv.container.labels import Running
from devenv.container.state import Environment, is_models
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.files import is_same
from devenv.errors import UsageError

_FILE = "owner.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A project's right to a name: the project's folder, and (project, owner) of the volumes that were made for
    others and taken over. An owner is the folder of an environment's state; volumes of older versions have none."""

    project: str
    taken: frozenset[tuple[str, str]] = frozenset()


def is_own(running: Running, environment: Environment) -> bool:
    """Whether devenv made the container, for this user: it mounts this user's folder of that environment."""
    return not running.unreadable and running.host_folder == str(environment.host_folder)


def check_readable(running: Running) -> None:
    """Raise UsageError for a container that devenv did not make: nothing acts on it."""
    if running.unreadable:
        name = running.facts.name
        raise UsageError(
            f"devenv did not make the container {name!r}: {running.unreadable}",
            hint=f"look at it: docker inspect {name}; remove it: docker rm {name}",
        )


def check(running: Running, environment: Environment, *, all_users: bool = False, hint: str | None = None) -> None:
    """Raise UsageError unless a command may act on the container: devenv made it, for this user or with `all_users`."""
    check_readable(running)
    if not all_users and not is_own(running, environment):
        raise UsageError(
            f"the environment {running.name!r} is another user's ({running.host_folder})",
            hint=hint
            or "act on it with --all-users: stop, down, exec, shell, logs, restart or smoke; only its owner can start "
            "or open it",
        )


def known_path(environment: Environment, running: Running | None, project: Path | None) -> Path | None:
    """The project's path as its container or state records it, so that another path to it changes nothing."""
    kept = _kept(environment)
    for known in (running.project if running else "", kept.project if kept else ""):
        if project and known and is_same(known, project):
            return Path(known)
    return project


def claim(
    environment: Environment,
    engine: Engine,
    running: Running | None,
    *,
    project: str,
    volumes: Iterable[str],
    take_over: bool = False,
) -> Claim:
    """A project's claim to an environment's name, with `volumes` those it mounts. Raises UsageError when the container,
    volumes or state of that name are another project's or another user's; with `take_over` volumes and state are not
    refused."""
    name = environment.name
    rename = "give this one another name: devenv up --name …"
    if is_models(name):
        raise UsageError(
            f"an environment cannot have the name {name!r}, because volumes of models are named devenv-model-…",
            hint=rename,
        )
    take = f"{rename}; or take over the volumes, token and ports: devenv up --take-over"
    known = _kept(environment)
    # An older devenv kept no claim, and its volumes have only a name: they belong to the user who has the token.
    older = known is None and environment.known_token() is not None
    if running is not None:
        check(running, environment, hint=f"{rename}; or remove that one: devenv down --all-users {name}")
        if running.project != project and not take_over:
            raise UsageError(f"the environment {name!r} exists already, {_for(running.project)}", hint=take)
    if known and known.project != project and not take_over:
        raise UsageError(
            f"the name {name!r} is taken: token and volumes of an environment {_for(known.project)} are kept",
            hint=f"{take}; or remove them with all their data: devenv down --volumes {name}",
        )
    taken = known.taken if known else frozenset()
    for volume, labels in _volumes(environment, engine, volumes).items():
        pair = _maker(labels)
        if (other := labels.get(f"{LABEL}name", name)) != name:
            raise UsageError(f"the volume {volume} belongs to the environment {other!r}", hint=rename)
        if pair == (project, str(environment.folder)) or pair in taken:
            continue
        if not take_over and not (older and pair == ("", "") and f"{LABEL}name" in labels):
            raise UsageError(f"the volume {volume} was made {_words(pair, environment)}", hint=take)
        taken |= {pair}
    return Claim(project=project, taken=taken)


def keep(environment: Environment, claimed: Claim) -> None:
    """Remember a claim in the environment's state."""
    if claimed != _kept(environment):
        taken = [list(pair) for pair in sorted(claimed.taken)]
        environment.keep(_FILE, {"project": claimed.project, "taken": taken})


def kept_project(environment: Environment) -> str:
    """The project that has the name, as the environment's state remembers it; empty for none."""
    claimed = _kept(environment)
    return claimed.project if claimed else ""


def removable(
    environment: Environment, engine: Engine, running: Running | None, *, all_users: bool = False
) -> tuple[str, ...]:
    """The environment's volumes, for `down --volumes`. Raises UsageError for another user's, unless `all_users`."""
    usual = {environment.data_volume, environment.workspace_volume}
    mounted = (
        {mount.source for mount in running.facts.mounts if mount.kind == "volume" and not mount.read_only}
        if running
        else set()
    )
    known = _kept(environment)
    taken = known.taken if known else frozenset()
    own = environment.known_token() is not None or (running is not None and is_own(running, environment))
    found = []
    for volume, labels in _volumes(environment, engine, usual | mounted).items():
        pair = _maker(labels)
        # One without any label was made by the engine itself, for an environment called 'model-…' of an older devenv.
        named = labels.get(f"{LABEL}name", "" if labels and pair not in taken else environment.name)
        if not volume.startswith(environment.volume_prefix) or named != environment.name:
            continue
        mine = pair[1] == str(environment.folder) or pair in taken or (own and not pair[1])
        if not mine and not all_users:
            raise UsageError(
                f"the volume {volume} was made {_words(pair, environment)}",
                hint=f"'devenv down --volumes --all-users {environment.name}' removes it all the same",
            )
        found.append(volume)
    return tuple(found)


def _volumes(environment: Environment, engine: Engine, further: Iterable[str]) -> dict[str, Mapping[str, str]]:
    """Name → labels of the volumes with the environment's name, and of the existing further ones."""
    found = {
        name: labels
        for name, labels in engine.volumes(f"{LABEL}name={environment.name}")
        if name.startswith(environment.volume_prefix)
    }
    for name in sorted(further):
        if name not in found and (facts := engine.volume(name)):
            found[name] = facts[1]
    return found


def _maker(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get(f"{LABEL}project", ""), labels.get(f"{LABEL}owner", "")


def _words(pair: tuple[str, str], environment: Environment) -> str:
    project, owner = pair
    if not owner:
        return "by an older devenv, or by another program"
    return _for(project) + ("" if owner == str(environment.folder) else f", by another user ({owner})")


def _for(project: str) -> str:
    return f"for {project}" if project else "without a project"


def _kept(environment: Environment) -> Claim | None:
    """The claim in the environment's state; None when there is none that can be read."""
    kept = environment.kept(_FILE)
    project, taken = (kept.get("project"), kept.get("taken")) if isinstance(kept, dict) else (None, None)
    if not isinstance(project, str):
        return None
    pairs = [one for one in (taken if isinstance(taken, list) else ()) if isinstance(one, list) and len(one) == 2]
    return Claim(
        project=project,
        taken=frozenset((a, b) for a, b in pairs if isinstance(a, str) and isinstance(b, str)),
    )
