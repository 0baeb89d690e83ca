"""Every decided value of an image and its container, computed from preset and lock. Pure: it reads only what the
preset names (templates, files, workspace) and writes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.content import digest, tree, walk
from devenv.errors import PresetError
from devenv.lock.model import Lock, LockedModel, Wheel
from devenv.parts import base_key, editor_key
from devenv.paths import templates_digest
from devenv.preset import portable
from devenv.preset.model import Preset, Service

if TYPE_CHECKING:
    from devenv.preset.load import LoadedPreset

USER = "dev"
UID = 1000
GROUP = "devenv"
GID = 990
WORKSPACE = "/workspace"
VENV = "/opt/venv"
IDE_PORT = 8443
JUPYTER_PORT = 8888
ANY_STATUS = 0
"""As `health_status`: every answer below 500 will do."""
RESERVED = ("gateway", "ide", "jupyter")
"""Service names that devenv itself gives."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedService:
    """One supervised service, fully decided. Readiness is a GET of `health_path` with the header
    `Authorization: Bearer TOKEN`, which both the gateway and Jupyter take."""

    name: str
    command: tuple[str, ...]
    port: int | None
    auth: str  # token | own | none
    listen: str | None  # `unix:/run/devenv/…` or `127.0.0.1:PORT`
    url: str  # path with `{token}` in it where the token goes
    health_path: str | None
    health_status: int
    env: tuple[tuple[str, str], ...]
    timeout_s: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCheck:
    """One smoke check."""

    name: str
    run: tuple[str, ...]
    timeout_s: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """A file or folder of the preset's that goes into the image: `source` on this machine, `context` in the build
    context, `target` in the image."""

    source: str
    context: str
    target: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """Weights and how the container meets them; not part of the image."""

    locked: LockedModel
    volume: str
    mount: str | None  # None: /mnt/NAME/model, NAME the environment's
    env: tuple[tuple[str, str], ...]  # `{mount}` and `{data}` in values stand for these folders


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What templates and rooms act on; they decide nothing themselves."""

    preset: str
    argument: str | None  # what names the preset on the command line; None for a project's devenv.yaml
    description: str
    lock: Lock
    carried: str  # the preset as the image carries it: YAML without this machine's paths
    python: str  # MAJOR.MINOR
    layers: tuple[int, ...]  # the wheel layers, in order
    services: tuple[PlannedService, ...]  # `gateway` is not among them: it serves those with auth=token
    ports: tuple[tuple[str, int], ...]  # name → container port, services' ports included
    volumes: tuple[tuple[str, str], ...]  # further volumes: name → mount
    env: tuple[tuple[str, str], ...]  # baked into the image, sorted; PATH included
    files: tuple[PlannedFile, ...]
    workspace: PlannedFile | None
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

    @property
    def editor_image(self) -> str | None:
        """The tag of the finished editor."""
        return f"devenv/editor:{self.editor[:16]}" if self.editor else None

    @property
    def gated(self) -> tuple[PlannedService, ...]:
        """The services that the gateway serves."""
        return tuple(one for one in self.services if one.auth == "token" and one.port is not None)

    @property
    def python_from_apt(self) -> bool:
        """Whether the interpreter comes with the preset's Debian packages, which then go in before the wheels."""
        return any(deb.name == f"python{self.python}" for deb in self.lock.apt)

    def has(self, service: str) -> bool:
        """Whether there is a service of that name."""
        return any(one.name == service for one in self.services)

    def wheels(self, layer: int) -> tuple[Wheel, ...]:
        """The wheels of one layer."""
        return tuple(wheel for wheel in self.lock.wheels if wheel.layer == layer)


def plan(loaded: LoadedPreset, lock: Lock) -> Plan:
    """Decide everything. Raises PresetError for services that cannot stand side by side or files that are not there."""
    preset = loaded.preset
    services = _services(preset)
    files = tuple(
        PlannedFile(source=source, context=name, target=target) for name, source, target in portable.numbered(preset)
    )
    workspace = (
        PlannedFile(source=preset.workspace, context=portable.WORKSPACE, target=WORKSPACE) if preset.workspace else None
    )
    for planned in (*files, *((workspace,) if workspace else ())):
        if not any(True for _ in walk(Path(planned.source))):
            raise PresetError(
                f"{planned.source} is an empty folder", hint=f"put a file there that is to be at {planned.target}"
            )
    env = tuple(sorted(_environment(preset).items()))
    carried = portable.portable(preset)
    content = {
        "lock": lock.digest,
        "preset": carried,
        "templates": templates_digest(),
        "python": preset.python,
        "services": [dataclasses.asdict(service) for service in services],
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
        layers=tuple(sorted({wheel.layer for wheel in lock.wheels})),
        services=services,
        ports=_ports(preset, services),
        volumes=tuple(sorted(preset.volumes.items())),
        env=env,
        files=files,
        workspace=workspace,
        smoke=tuple(
            PlannedCheck(name=name, run=check.run, timeout_s=check.timeout_s)
            for name, check in sorted(preset.smoke.items())
        ),
        shm_size_bytes=_bytes(preset.shm_size),
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
    )


def _model(preset: Preset, lock: Lock) -> PlannedModel | None:
    """Weights with what lets libraries inside find them without a network. What the preset sets itself wins."""
    if lock.model is None:
        return None
    at = {one.hub: f"{one.id}@{one.revision}" for one in lock.model.sources}
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
        env=tuple(sorted((name, value) for name, value in env.items() if name not in preset.env)),
    )


def _environment(preset: Preset) -> dict[str, str]:
    """The image's variables. The preset's own win, but PATH is extended, never replaced."""
    path = [
        f"{VENV}/bin",
        *(["/opt/node/bin"] if preset.node else []),
        *(["/opt/npm/bin"] if preset.npm else []),
    ]
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    given = dict(preset.env)
    own = given.pop("PATH", None)
    return {
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "SHELL": "/bin/bash",
        "VIRTUAL_ENV": VENV,
        "DEVENV_PRESET": preset.name,
        **({"JUPYTER_RUNTIME_DIR": "/run/devenv/jupyter"} if preset.jupyter else {}),
        **given,
        "PATH": ":".join([*([own] if own else []), *path, usual]),
    }


def _services(preset: Preset) -> tuple[PlannedService, ...]:
    """The services that `code_server` and `jupyter` imply, then the preset's own by name."""
    if taken := sorted(set(preset.services) & set(RESERVED)):
        raise PresetError(
            f"services.{taken[0]}: devenv itself gives a service of this name",
            hint=f"choose a name that is not one of {', '.join(RESERVED)}",
        )
    services = [
        *([_ide(preset)] if preset.code_server else []),
        *([_jupyter()] if preset.jupyter else []),
        *(_own(name, service) for name, service in sorted(preset.services.items())),
    ]
    owners: dict[str, str] = {}
    for service in services:
        for place in (str(service.port or ""), service.listen or ""):
            key = place.removeprefix("127.0.0.1:")  # with port 8888 one place inside the container
            if key and key in owners:
                raise PresetError(
                    f"services.{service.name}: {owners[key]} has {place} already", hint="give each service its own"
                )
            owners[key] = service.name
    return tuple(services)


def _ide(preset: Preset) -> PlannedService:
    assert preset.code_server is not None
    return PlannedService(
        name="ide",
        command=(f"{_LIB}/ide",),
        port=IDE_PORT,
        auth="token",
        listen="unix:/run/devenv/ide.sock",
        url="/?token={token}",
        health_path="/?folder=/workspace",
        health_status=200,
        env=(),
        timeout_s=60,
    )


def _jupyter() -> PlannedService:
    return PlannedService(
        name="jupyter",
        command=(f"{_LIB}/jupyter",),
        port=JUPYTER_PORT,
        auth="own",
        listen=None,
        url="/lab?token={token}",
        health_path="/api/status",
        health_status=200,
        env=(),
        timeout_s=60,
    )


_LIB = "/usr/local/lib/devenv"


def _opening(service: Service) -> str:
    """The page to open: the gateway needs the token in it, whether the preset writes it there or not."""
    if service.port is None or service.auth != "token" or "{token}" in service.url:
        return service.url
    return f"{service.url}{'&' if '?' in service.url else '?'}token={{token}}"


def _own(name: str, service: Service) -> PlannedService:
    health = service.health
    return PlannedService(
        name=name,
        command=service.command,
        port=service.port,
        auth=service.auth,
        listen=service.listen,
        url=_opening(service),
        # A published service without `health` is ready when it answers at all.
        health_path=health.path if health else ("/" if service.port else None),
        health_status=health.status if health else ANY_STATUS,
        env=tuple(sorted(service.env.items())),
        timeout_s=service.timeout_s,
    )


def _ports(preset: Preset, services: tuple[PlannedService, ...]) -> tuple[tuple[str, int], ...]:
    """Every published container port by name: services first, then the preset's further ones."""
    ports = {service.name: service.port for service in services if service.port}
    for name, port in sorted(preset.ports.items()):
        if name in ports or port in ports.values():
            raise PresetError(
                f"ports.{name}: the name or the port {port} is a service's already",
                hint="remove it or choose another",
            )
        ports[name] = port
    return tuple(ports.items())


def _bytes(size: str) -> int:
    return int(size[:-1]) * {"m": 1024**2, "g": 1024**3}[size[-1]]
