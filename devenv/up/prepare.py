"""The steps between an image and its container: the name's owner, the machine's verdict, token, settings, user."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from devenv.build.image import Image
from devenv.container import condition, container, network, owner, spec, worktree
from devenv.container.gpu import Access
from devenv.container.host_settings import brought
from devenv.container.labels import Running
from devenv.container.state import Environment
from devenv.container.user import User, check_workspace, container_user
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.values import ContainerSpec
from devenv.doors.files import is_text
from devenv.errors import UsageError
from devenv.plan import base_path
from devenv.plan.base_path import BasePath
from devenv.plan.inside import WORKBENCH
from devenv.plan.role import in_role
from devenv.up import preflight
from devenv.up.decide import Decided, completed
from devenv.up.image import find_image
from devenv.up.preflight import Asked
from devenv.up.session import Session

_BASE_PATH = "base_path.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """A run's wishes beyond the preset: a `fresh` container, a new lock for what no mirror has (`relock`),
    volumes and state that others left under its name (`take_over`), another token from now on, which GPUs, and what
    new volumes begin with (`fill`: mount point to a tar). `role`: what the container is for. `base_path`: where a
    reverse proxy shows its pages, `none`, or None for the remembered one. `once`: for one command in a container of its
    own, which publishes nothing and changes nothing that is remembered."""

    fresh: bool = False
    relock: bool = False
    take_over: bool = False
    new_token: bool = False
    fill: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    gpus: Asked = dataclasses.field(default_factory=Asked)
    role: str = WORKBENCH
    base_path: str | None = None
    once: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a run brings up: its name, its user, and its parts of this machine. `project` is mounted at /workspace,
    `beside` at its own path."""

    environment: Environment
    project: Path | None
    user: User
    beside: tuple[Path, ...]
    gpu: Access | None

    def spec(
        self, decided: Decided, image: Image, engine: Engine, *, new_ports: bool = False, with_ports: bool = True
    ) -> ContainerSpec:
        """The container to be: with the environment's ports, or (`new_ports`) others."""
        ports = container.ports_for(decided.plan, self.environment, engine, anew=new_ports) if with_ports else {}
        return spec.decide(
            decided.plan, image, self.environment, project=self.project, uid=self.user.uid, gid=self.user.gid,
            ports=ports, gpu=self.gpu, beside=self.beside,
            network=network.wanted(self.environment, engine, has_ports=bool(ports)),
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """The environment's token. `is_new`: made now, so a running container does not have it yet."""

    text: str
    is_new: bool


def mountable(folder: Path | None) -> Path | None:
    """The project's folder with links resolved, because a link may change later. Raises UsageError."""
    if folder is None:
        return None
    real = folder.resolve()
    if not is_text(str(real)):
        raise UsageError("the workspace's path is not UTF-8 text", hint="rename the folder: Docker cannot mount it")
    return real


def claim(
    decided: Decided, environment: Environment, project: Path | None, session: Session, wishes: Wishes
) -> tuple[Running | None, owner.Claim]:
    """The existing container, and the project's claim to it and to its volumes. Raises UsageError."""
    engine = session.engine()
    running = container.find(environment.name, engine)
    volumes = [environment.data_volume, *([] if project else [environment.workspace_volume])]
    volumes += [environment.volume(name) for name, _ in decided.plan.volumes]
    return running, owner.claim(
        environment, engine, running, project=str(project or ""), volumes=volumes, take_over=wishes.take_over
    )


def keep(
    claimed: tuple[Running | None, owner.Claim], environment: Environment, session: Session, wishes: Wishes
) -> Running | None:
    """Remember the claim; returns the existing container, now running or stopped (as it is, for one command)."""
    running, right = claimed
    owner.keep(environment, right)
    if wishes.once:
        return running
    return running and condition.settled(running, session.engine(), session.stages.note)


def machine(
    decided: Decided, environment: Environment, running: Running | None, session: Session, wishes: Wishes
) -> tuple[Decided, Access | None]:
    """Whether this machine can run it, and with which GPUs; the model is recorded where the lock leaves it open, not
    before the machine is known to be able. Raises MachineError, before anything is downloaded."""
    engine = session.engine()
    asked = preflight.remembered(environment, wishes.gpus)
    if decided.lock.open:
        preflight.before_record(decided.loaded, session, asked)
    decided = completed(decided, session)
    given = _verdict(decided, None if wishes.fresh else running, session, asked)
    if not wishes.once:
        preflight.remember(environment, asked)
        if wishes.base_path is not None:
            remember(environment, shown_at(environment, wishes))
    has_ports = bool(in_role(decided.plan, wishes.role).ports)
    network.wanted(environment, engine, has_ports=has_ports and not wishes.once)
    return decided, given


def shown_at(environment: Environment, wishes: Wishes) -> BasePath | None:
    """Where a reverse proxy shows the pages: as now asked for, else as remembered. Raises UsageError."""
    if wishes.once or wishes.base_path == base_path.NONE:
        return None
    if wishes.base_path is not None:
        return base_path.parse(wishes.base_path)
    kept = environment.kept(_BASE_PATH)
    return base_path.known(kept) if isinstance(kept, str) else None


def remember(environment: Environment, base: BasePath | None) -> None:
    """Keep the base path for the environment's life, as its ports."""
    if environment.kept(_BASE_PATH) != (base.text if base else None):
        environment.keep(_BASE_PATH, base.text if base else None)


def _verdict(decided: Decided, running: Running | None, session: Session, asked: Asked) -> Access | None:
    """Shown as a stage where there is something to check."""
    image_here = find_image(decided, session.engine()) is not None
    ask = partial(preflight.check, decided.loaded, decided.lock, session, asked, running=running, image_here=image_here)
    if image_here and decided.loaded.preset.gpu is None and asked.gpus is None:
        return ask()
    with session.stages.stage("doctor") as stage:
        given = ask()
        if given:
            stage.message(f"{', '.join(f'{one.index}: {one.name}' for one in given.devices)} by {given.mode}")
        return given


def token(environment: Environment, wishes: Wishes) -> Token:
    """The existing token, or a new one. Raises NotReadyError."""
    is_new = wishes.new_token or not environment.token_file.exists()
    environment.session()
    return Token(environment.new_token() if wishes.new_token else environment.token(), is_new)


def host_settings(decided: Decided, environment: Environment, session: Session) -> bool:
    """Write proxies, mirrors, certificates and git's name for the container; returns whether they changed."""
    settings = brought(session.settings, session.carried, decided.lock.base.distribution, decided.lock.base.release)
    return environment.bring(settings.variables, settings.ca_bundle, settings.apt_sources, settings.git_config)


def user(project: Path | None, session: Session, *, rootless: bool) -> tuple[User, tuple[Path, ...]]:
    """The user in the container, and the folders to mount beside the project. Warns of what will not work. Raises
    NotReadyError."""
    inside = container_user(session.settings, project, rootless=rootless)
    if project is None:
        return inside, ()
    if remark := check_workspace(project, inside):
        session.stages.note(remark)
    try:
        return inside, worktree.outside(project)
    except worktree.OutsideError as error:
        session.stages.note(f"warning: git will not work in {project} in the container: {error}")
        return inside, ()
