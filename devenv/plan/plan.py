"""Every decided value of an image and its container, computed from preset and lock. Pure: it reads only what the
preset names (templates, files, workspace) and writes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors.dirs import templates_digest
from devenv.doors.docker.local_tag import EDITOR_TAG
from devenv.errors import PresetError
from devenv.lock.model import Deb, Lock, LockedModel, Source, Wheel
from devenv.plan.cache_keys import base_key, editor_key
from devenv.plan.inside import (
    GID,
    GROUP,
    RESERVED,
    UID,
    USER,
    VENV,
    WORKSPACE,
    PlannedCheck,
    PlannedService,
    PlannedStep,
)
from devenv.plan.services import planned_services, published
from devenv.plan.tree_digest import digest, tree, walk
from devenv.preset import portable
from devenv.preset.model import Gateway, Preset
from devenv.preset.sizes import bytes_of

if TYPE_CHECKING:
    from devenv.plan.base_path import BasePath
    from devenv.preset.load import LoadedPreset

_MOST_COPIED_BYTES = 300_000_000
"""The most bytes of wheels that are installed beside the base and copied."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """A file or folder of the preset for the image: `source` on this machine, `context` in the build
    context, `target` in the image."""

    source: str
    context: str
    target: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """Weights and their mount in the container; not part of the image."""

    locked: LockedModel
    volume: str
    mount: str | None  # None: /mnt/NAME/model, NAME the environment's
    env: tuple[tuple[str, str], ...]  # `{mount}` and `{data}` in values stand for these folders

    def target(self, environment: str) -> str:
        """Where it is mounted in the environment of that name."""
        return self.mount or f"/mnt/{environment}/model"

    def variables(self, environment: str) -> tuple[tuple[str, str], ...]:
        """The variables in the environment of that name."""
        places = {"data": f"/mnt/{environment}", "mount": self.target(environment)}
        return tuple((name, value.format(**places)) for name, value in self.env)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All decided values for templates and rooms, which decide nothing themselves."""

    preset: str
    argument: str | None  # the preset's name on the command line; None for a project's devenv.yaml
    description: str
    lock: Lock
    carried: str  # the preset as the image carries it: YAML without this machine's paths
    python: str  # MAJOR.MINOR
    layers: tuple[int, ...]  # layers of Debian packages and wheels, in order: one for each preset that adds some
    services: tuple[PlannedService, ...]  # `gateway` is not among them: it serves those with auth=token
    ports: tuple[tuple[str, int], ...]  # name → container port, services' ports included
    volumes: tuple[tuple[str, str], ...]  # further volumes: name → mount
    env: tuple[tuple[str, str], ...]  # baked into the image, sorted; PATH included
    timezone: str  # the name of a zone; empty: none is set
    files: tuple[PlannedFile, ...]
    workspace: PlannedFile | None
    setup: tuple[PlannedStep, ...]
    smoke: tuple[PlannedCheck, ...]
    shm_size_bytes: int
    gpu: str  # required | optional | empty: none
    user: str  # `dev`
    uid: int  # 1000 in the image; mapped to the host user's at boot
    group: str  # `devenv`, which may write /opt/venv
    gid: int
    image: str  # devenv/<preset>:<first 16 of build_digest>
    base: str | None  # sha256 over all that decides the bootstrapped base; None on a registry image
    editor: str | None  # sha256 over all that decides the compiled editor: made once, reused by every preset
    build_digest: str  # sha256 over all that decides the image's content
    model: PlannedModel | None = None
    caches: tuple[tuple[str, str], ...] = ()  # variable → folder below /mnt/NAME/.cache/KEY
    cache_key: str = ""  # of the Python packages: others cannot use the caches; empty without caches
    role: str = ""  # workbench | serve: a container's; empty: the image's own plan, which has all services
    extensions: tuple[str, ...] = ()  # editor extensions that the preset names, as devcontainer.json takes them
    other_ports: tuple[int, ...] = ()  # container ports that only the other role publishes
    base_path: BasePath | None = None  # a container's: the address at which a reverse proxy shows its pages

    @property
    def editor_image(self) -> str | None:
        """The tag of the finished editor."""
        return f"{EDITOR_TAG}{self.editor[:16]}" if self.editor else None

    @property
    def gated(self) -> tuple[PlannedService, ...]:
        """The services that the gateway serves."""
        return tuple(service for service in self.services if service.auth == "token" and service.port is not None)

    @property
    def own_services(self) -> tuple[PlannedService, ...]:
        """The preset's services, without those that devenv itself gives."""
        return tuple(service for service in self.services if service.name not in RESERVED)

    def has(self, service: str) -> bool:
        """Whether there is a service of that name."""
        return any(one.name == service for one in self.services)

    def debs(self, layer: int) -> tuple[Deb, ...]:
        """The Debian packages of one layer, in the order in which they are unpacked."""
        return tuple(deb for deb in self.lock.apt if (deb.layer or 0) == layer)

    def interpreter(self, layer: int) -> str:
        """The name of the interpreter (`python3.13`) that this layer's Debian packages install; empty: of none."""
        name = f"python{self.python}"
        return name if any(deb.name == name for deb in self.debs(layer)) else ""

    def wheels(self, layer: int) -> tuple[Wheel, ...]:
        """The wheels of one layer."""
        return tuple(wheel for wheel in self.lock.wheels if wheel.layer == layer)

    def beside(self, layer: int) -> bool:
        """Whether a stage of its own installs the layer's wheels, while the base is made, and the image gets a copy.

        A copy of large ones would cost more time, and as much disk again, than it saves. Needs the base's interpreter.
        """
        below = [one for one in self.layers if one <= layer]
        size = sum(wheel.size for one in below for wheel in self.wheels(one))
        return size <= _MOST_COPIED_BYTES and not any(self.interpreter(one) for one in self.layers)

    def sources(self, layer: int) -> tuple[Source, ...]:
        """The packages without wheels of one layer, whose wheels the build makes."""
        return tuple(source for source in self.lock.sourced if source.layer == layer)


def plan(loaded: LoadedPreset, lock: Lock) -> Plan:
    """Decide everything. Raises PresetError for services that conflict or files that do not exist."""
    preset = loaded.preset
    services = planned_services(preset)
    files = tuple(
        PlannedFile(source=source, context=name, target=target) for name, source, target in portable.numbered(preset)
    )
    workspace = (
        PlannedFile(source=preset.workspace, context=portable.WORKSPACE, target=WORKSPACE) if preset.workspace else None
    )
    for planned in (*files, *((workspace,) if workspace else ())):
        if not any(True for _ in walk(Path(planned.source))):
            raise PresetError(f"{planned.source} is an empty folder", hint=f"put the files for {planned.target} there")
    env = tuple(sorted(_environment(preset).items()))
    carried = portable.portable(preset)
    content = {
        "lock": lock.digest,
        "preset": carried,
        "templates": templates_digest(),
        "python": preset.python,
        "services": [service.document() for service in services],
        "env": env,
        "files": [(file.target, tree(Path(file.source))) for file in files],
        "workspace": tree(Path(workspace.source)) if workspace else None,
    }
    build_digest = digest(content)
    return Plan(
        preset=preset.name,
        argument=None if loaded.project else (preset.name if loaded.shipped else str(loaded.path)),
        description=preset.description,
        lock=lock,
        carried=carried,
        python=preset.python,
        extensions=tuple(one for one in preset.extensions if isinstance(one, str)),
        layers=tuple(sorted({*(each.layer or 0 for each in (*lock.installed, *lock.apt))})),
        services=services,
        ports=published(preset, services),
        volumes=tuple(sorted(preset.volumes.items())),
        env=env,
        timezone=preset.timezone or "",
        files=files,
        workspace=workspace,
        setup=tuple(
            PlannedStep(name=name, run=step.run, timeout_s=step.timeout_s, once=step.once)
            for name, step in preset.setup.items()
        ),
        smoke=tuple(
            PlannedCheck(name=name, run=check.run, timeout_s=check.timeout_s, expect=check.expect, role=check.role)
            for name, check in sorted(preset.smoke.items())
        ),
        shm_size_bytes=bytes_of(preset.shm_size),
        gpu=("required" if preset.gpu.required else "optional") if preset.gpu else "",
        user=USER,
        uid=UID,
        group=GROUP,
        gid=GID,
        image=f"devenv/{preset.name}:{build_digest[:16]}",
        base=base_key(lock, user=(USER, UID, GROUP, GID)),
        editor=editor_key(lock),
        build_digest=build_digest,
        model=_model(preset, lock),
        caches=tuple(sorted(preset.caches.items())),
        cache_key=digest(sorted(package.sha256 for package in lock.installed))[:12] if preset.caches else "",
    )


def _model(preset: Preset, lock: Lock) -> PlannedModel | None:
    """Weights, and variables that let libraries find them without a network. The preset's own win."""
    if lock.model is None:
        return None
    at = {source.hub: f"{source.id}@{source.revision}" for source in lock.model.sources}
    env = {
        "DEVENV_MODEL": "{mount}",
        **({"DEVENV_MODEL_HUGGINGFACE": at["huggingface"]} if "huggingface" in at else {}),
        **({"DEVENV_MODEL_MODELSCOPE": at["modelscope"]} if "modelscope" in at else {}),
        "HF_HOME": "{data}/.cache/huggingface",
        "HF_HUB_OFFLINE": "1",
        "MODELSCOPE_CACHE": "{data}/.cache/modelscope",
    }
    return PlannedModel(
        locked=lock.model,
        volume=f"devenv-model-{lock.model.key}",
        mount=preset.model.mount if preset.model else None,
        env=tuple(sorted((name, value) for name, value in env.items() if name not in {*preset.env, *preset.caches})),
    )


def _environment(preset: Preset) -> dict[str, str]:
    """The image's variables. The preset's own override devenv's, but PATH is extended, never replaced."""
    path = [
        f"{VENV}/bin",
        *(["/opt/node/bin"] if preset.node else []),
        *(["/opt/npm/bin"] if preset.npm else []),
    ]
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    variables = dict(preset.env)
    own = variables.pop("PATH", None)
    return {
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "SHELL": "/bin/bash",
        "VIRTUAL_ENV": VENV,
        "DEVENV_PRESET": preset.name,
        **_gateway(preset.gateway),
        **({"JUPYTER_RUNTIME_DIR": "/run/devenv/jupyter"} if preset.jupyter else {}),
        **({"TZ": preset.timezone} if preset.timezone else {}),
        **variables,
        "PATH": ":".join([*([own] if own else []), *path, usual]),
    }


def _gateway(gateway: Gateway | None) -> dict[str, str]:
    """As the entrypoint reads it; nothing where nothing was said, so that the image stays the same."""
    named = {"DEVENV_HOSTS": gateway.hosts, "DEVENV_PEERS": gateway.peers} if gateway else {}
    return {name: " ".join(values) for name, values in named.items() if values}
