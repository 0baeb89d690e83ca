"""Container from image: decide its spec, replace what is outdated, start it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from devenv.build.build import Image
from devenv.container import network as networks
from devenv.container.gpu import Access, to_json
from devenv.container.gpu import from_json as gpu_from_json
from devenv.container.ports import choose_ports, kept_ports
from devenv.container.state import Environment, is_name
from devenv.doors.docker.engine import LABEL, Engine, labels_json
from devenv.doors.docker.values import ContainerFacts, ContainerSpec, Mount
from devenv.doors.machine.ports import port_is_free
from devenv.doors.untrusted import from_json, value_of
from devenv.errors import EngineError, NotReadyError
from devenv.plan.plan import Plan, PlannedCheck
from devenv.plan.services import PlannedService

HOST_MOUNT = "/run/devenv-host"
RUNTIME_MOUNT = "/run/devenv"
STOP_TIMEOUT_S = 5


class PortTakenError(NotReadyError):
    """Another program bound a chosen port before the container's start."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A container of ours, as its labels describe it: enough for every command without the preset. `unreadable` is
    the reason why devenv did not make it; empty when it did."""

    name: str
    facts: ContainerFacts
    preset: str
    lock_digest: str
    spec_digest: str
    project: str
    services: tuple[PlannedService, ...]
    checks: tuple[PlannedCheck, ...]
    named_ports: tuple[tuple[str, int], ...]
    gpu: Access | None = None
    unreadable: str = ""

    def port(self, inside: int) -> int | None:
        """The host port of a container port."""
        return dict(self.facts.ports).get(inside)

    @property
    def host_folder(self) -> str:
        """Its owner's folder that it reads."""
        return next((one.source for one in self.facts.mounts if one.target == HOST_MOUNT), "")

    def urls(self, token: str | None) -> dict[str, str]:
        """The page of every published service, with the token, and of every further port. Another user's `token` is
        None."""
        urls = {}
        for service in self.services:
            if service.port is not None and (outside := self.port(service.port)):
                urls[service.name] = f"http://127.0.0.1:{outside}{service.url.replace('{token}', token or 'TOKEN')}"
        for name, inside in self.named_ports:
            if name not in urls and (outside := self.port(inside)):
                urls[name] = f"http://127.0.0.1:{outside}/"
        return urls


def decide(
    plan: Plan,
    image: Image,
    environment: Environment,
    *,
    project: Path | None,
    uid: int,
    gid: int,
    ports: Mapping[int, int],
    gpu: Access | None = None,
    beside: tuple[Path, ...] = (),
    network: str = "",
) -> ContainerSpec:
    """The container that `plan` asks for; `beside`: what is mounted at its own path beside the project; `network`: the
    environment's own. Pure: the same arguments give the same spec."""
    workspace = (
        Mount(kind="bind", source=str(project), target="/workspace")
        if project
        else Mount(kind="volume", source=environment.workspace_volume, target="/workspace")
    )
    mounts = (
        workspace,
        Mount(kind="volume", source=environment.data_volume, target=f"/mnt/{environment.name}"),
        Mount(kind="bind", source=str(environment.host_folder), target=HOST_MOUNT, read_only=True),
        *(Mount(kind="volume", source=environment.volume(name), target=target) for name, target in plan.volumes),
        *(gpu.mounts if gpu else ()),
        *_model_mount(plan, environment),
        *(Mount(kind="bind", source=str(one), target=str(one)) for one in beside),
    )
    variables = {
        "DEVENV_GID": str(gid), "DEVENV_NAME": environment.name, "DEVENV_UID": str(uid),
        **_caches(plan, environment, gpu),
    }  # fmt: skip
    spec = ContainerSpec(
        name=environment.container,
        image=image.id,
        hostname=environment.name,
        environment=tuple(
            sorted(
                {**variables, **dict(gpu.environment if gpu else ()), **_model_environment(plan, environment)}.items()
            )
        ),
        labels=(
            (f"{LABEL}name", environment.name),
            (f"{LABEL}preset", plan.preset),
            (f"{LABEL}lock", plan.lock.digest),
            (f"{LABEL}image", plan.image),
            (f"{LABEL}editor", plan.editor_image or ""),
            (f"{LABEL}project", str(project or "")),
            (f"{LABEL}services", labels_json([dataclasses.asdict(one) for one in plan.services])),
            (f"{LABEL}smoke", labels_json([_check(one) for one in plan.smoke])),
            (f"{LABEL}ports", labels_json(plan.ports)),
            *(((f"{LABEL}gpu", labels_json(to_json(gpu))),) if gpu else ()),
            *(((f"{LABEL}model", plan.model.locked.key),) if plan.model else ()),
        ),
        mounts=mounts,
        tmpfs=((RUNTIME_MOUNT, "rw,exec,nosuid,nodev,mode=0755"),),
        ports=tuple(sorted(ports.items())),
        shm_size_bytes=plan.shm_size_bytes,
        device_requests=gpu.requests if gpu else (),
        devices=gpu.nodes if gpu else (),
        runtime=gpu.runtime if gpu else "",
        network=network,
    )
    # Without the keys that only a container with a GPU has, so that the digest of other containers stays as it was.
    wanted = {key: value for key, value in dataclasses.asdict(spec).items() if gpu or key not in _OF_GPUS}
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    return dataclasses.replace(spec, labels=(*spec.labels, (f"{LABEL}spec", digest)))


def _check(check: PlannedCheck) -> dict[str, Any]:
    """A check for the label. Default values are left out, so that older containers keep their digest."""
    return {name: value for name, value in dataclasses.asdict(check).items() if (name, value) != ("expect", "result")}


_OF_GPUS = frozenset({"device_requests", "devices", "runtime"})


def _model_mount(plan: Plan, environment: Environment) -> tuple[Mount, ...]:
    if plan.model is None:
        return ()
    target = plan.model.mount or f"/mnt/{environment.name}/model"
    return (Mount(kind="volume", source=plan.model.volume, target=target, read_only=True),)


def _model_environment(plan: Plan, environment: Environment) -> dict[str, str]:
    if plan.model is None:
        return {}
    data = f"/mnt/{environment.name}"
    places = {"data": data, "mount": plan.model.mount or f"{data}/model"}
    return {name: value.format(**places) for name, value in plan.model.env}


def _caches(plan: Plan, environment: Environment, gpu: Access | None) -> dict[str, str]:
    """The variables of the preset's caches, and the values that the entrypoint makes folders from. Each set of packages
    and each kind of GPU has caches of its own."""
    if not plan.caches:
        return {}
    kinds = sorted({one.capability.replace(".", "") or "unknown" for one in gpu.devices}) if gpu else []
    key = f"{plan.cache_key}-{'-'.join(f'sm{one}' for one in kinds) or 'cpu'}"
    top = f"/mnt/{environment.name}/.cache/{key}"
    folders = " ".join(sorted({folder for _, folder in plan.caches}))
    return {
        "DEVENV_CACHE": top,
        "DEVENV_CACHES": folders,
        **{variable: f"{top}/{folder}" for variable, folder in plan.caches},
    }


def ports_for(plan: Plan, environment: Environment, engine: Engine, *, anew: bool = False) -> dict[int, int]:
    """The environment's host ports: its existing ones (unless `anew`), and free ones for new services. Remembers them.

    Raises NotReadyError when another program now uses a kept port.
    """
    kept = {} if anew else environment.ports()
    wanted = tuple(inside for _, inside in plan.ports)
    running = engine.container(environment.container)
    own = {outside for _, outside in running.ports} if running and running.state == "running" else set()
    others = frozenset(
        outside
        for one in engine.containers(f"{LABEL}name")
        if one.name != environment.container
        for _, outside in one.ports
    )
    for inside, outside in kept.items():
        if inside in wanted and outside not in own and not port_is_free(outside):
            raise NotReadyError(
                f"port {outside} on 127.0.0.1 is assigned to this environment, but another program is using it",
                hint=f"stop that program (find it: ss -ltnp 'sport = :{outside}'), or release the port: "
                f"devenv down {environment.name} --ports; then run the command again",
            )
    others |= kept_ports(environment.folder.parent, environment.name)
    chosen = choose_ports(wanted, kept, others)
    if chosen != kept:
        environment.keep_ports(chosen)
    return chosen


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


def describe(facts: ContainerFacts) -> Running:
    """Read a container's labels. Without a name label, the environment has the container's name."""
    labels = facts.labels
    name = labels.get(f"{LABEL}name", "")
    return Running(
        name=name if facts.name == f"devenv-{name}" and is_name(name) else facts.name,
        facts=facts,
        preset=labels.get(f"{LABEL}preset", ""),
        lock_digest=labels.get(f"{LABEL}lock", ""),
        spec_digest=labels.get(f"{LABEL}spec", ""),
        project=labels.get(f"{LABEL}project", ""),
        services=_values(PlannedService, labels.get(f"{LABEL}services")),
        checks=_values(PlannedCheck, labels.get(f"{LABEL}smoke")),
        named_ports=_named_ports(labels.get(f"{LABEL}ports")),
        gpu=_gpu(labels.get(f"{LABEL}gpu")),
        unreadable=_unreadable(facts),
    )


def _unreadable(facts: ContainerFacts) -> str:
    """Why devenv did not make this container; empty when it did. Anyone who may use the engine can set labels."""
    name = facts.labels.get(f"{LABEL}name", "")
    if not is_name(name):
        return f"its label {LABEL}name names no environment"
    if facts.name != f"devenv-{name}":
        return f"the container of {name} is called devenv-{name}"
    if not any(one.kind == "bind" and one.target == HOST_MOUNT for one in facts.mounts):
        return f"no folder of its owner is mounted at {HOST_MOUNT}"
    for label in ("services", "smoke", "ports"):
        if not _is_list(facts.labels.get(f"{LABEL}{label}")):
            return f"its label {LABEL}{label} cannot be read"
    return ""


def _is_list(label: str | None) -> bool:
    try:
        return isinstance(from_json(label or ""), list)
    except ValueError:
        return False


def _gpu(label: str | None) -> Access | None:
    try:
        return gpu_from_json(from_json(label)) if label else None
    except ValueError:
        return None  # another version of devenv wrote it


def _named_ports(label: str | None) -> tuple[tuple[str, int], ...]:
    pairs = [one for one in _list(label) if isinstance(one, list) and len(one) == 2]
    return tuple((name, port) for name, port in pairs if isinstance(name, str) and isinstance(port, int))


def _list(label: str | None) -> list[Any]:
    """The list in a label; empty for any other value."""
    try:
        value = from_json(label or "[]")
    except ValueError:
        return []
    return value if isinstance(value, list) else []


_Value = TypeVar("_Value", PlannedService, PlannedCheck)


def _values(kind: type[_Value], label: str | None) -> tuple[_Value, ...]:
    """Values from a label that another version of devenv, or someone else, may have written: what is unknown is left
    out, and so is a value that lacks what every version knew, or has it of another type."""
    values = []
    for one in _list(label):
        with contextlib.suppress(ValueError):
            values.append(value_of(kind, one))
    return tuple(values)


def find(name: str, engine: Engine) -> Running | None:
    """The environment's container, running or not."""
    facts = engine.container(f"devenv-{name}")
    return describe(facts) if facts else None


def everything(engine: Engine) -> tuple[Running, ...]:
    """Every container on this engine that is labelled as an environment, those that are `unreadable` too."""
    return tuple(describe(facts) for facts in engine.containers(f"{LABEL}name"))
