"""The specification of a container: what an image becomes on this machine, for this user, under this name. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from devenv.build.image import Image
from devenv.container import desktop, labels
from devenv.container.gpu import Access
from devenv.container.labels import HOST_MOUNT
from devenv.container.state import Environment
from devenv.doors.docker.values import ContainerSpec, Mount
from devenv.plan import base_path
from devenv.plan.inside import SERVE
from devenv.plan.plan import Plan
from devenv.plan.role import RESTART, health

RUNTIME_MOUNT = "/run/devenv"


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
    serves = plan.role == SERVE
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
        **({"DEVENV_ROLE": SERVE} if serves else {}),
        **({base_path.VARIABLE: plan.base_path.text} if plan.base_path else {}),
        **_caches(plan, environment, gpu), **dict(gpu.environment if gpu else ()),
        **dict(plan.model.variables(environment.name) if plan.model else ()),
    }  # fmt: skip
    spec = ContainerSpec(
        name=environment.container,
        image=image.id,
        hostname=environment.name,
        environment=tuple(sorted(variables.items())),
        labels=labels.written(plan, str(project or ""), environment.name, gpu),
        mounts=mounts,
        tmpfs=((RUNTIME_MOUNT, "rw,exec,nosuid,nodev,mode=0755"),),
        ports=tuple(sorted(ports.items())),
        shm_size_bytes=plan.shm_size_bytes,
        device_requests=gpu.requests if gpu else (),
        devices=gpu.nodes if gpu else (),
        runtime=gpu.runtime if gpu else "",
        network=network,
        health=health(plan) if serves else None,
        restart=RESTART if serves else "",
    )
    # Without the keys that only some containers have, so that the digest of other containers stays as it was.
    never = {"once", *(() if gpu else _OF_GPUS), *(() if serves else _OF_SERVING)}
    wanted = {key: value for key, value in dataclasses.asdict(spec).items() if key not in never}
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    return dataclasses.replace(spec, labels=(*spec.labels, *labels.sealed(digest), *desktop.labels()))


_OF_GPUS = frozenset({"device_requests", "devices", "runtime"})
_OF_SERVING = frozenset({"health", "restart"})


def _model_mount(plan: Plan, environment: Environment) -> tuple[Mount, ...]:
    if plan.model is None:
        return ()
    target = plan.model.target(environment.name)
    return (Mount(kind="volume", source=plan.model.volume, target=target, read_only=True),)


def _caches(plan: Plan, environment: Environment, gpu: Access | None) -> dict[str, str]:
    """The variables of the preset's caches, and the values that the entrypoint makes folders from. Each set of packages
    and each kind of GPU has caches of its own."""
    if not plan.caches:
        return {}
    kinds = sorted({device.capability.replace(".", "") or "unknown" for device in gpu.devices}) if gpu else []
    key = f"{plan.cache_key}-{'-'.join(f'sm{one}' for one in kinds) or 'cpu'}"
    top = f"/mnt/{environment.name}/.cache/{key}"
    folders = " ".join(sorted({folder for _, folder in plan.caches}))
    return {
        "DEVENV_CACHE": top,
        "DEVENV_CACHES": folders,
        **{variable: f"{top}/{folder}" for variable, folder in plan.caches},
    }
