"""The volumes of a pod: memory and scratch of its own, and claims that outlive it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from devenv.plan.inside import SERVE, WORKSPACE
from devenv.plan.plan import Plan
from devenv.render.kubernetes.words import MODEL, PREFIX, RUN, Wanted, metadata

HOME = "/home/dev"
MODEL_FOLDER = "model"
"""The folder of the weights in their volume."""
_RUN_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume and where it is mounted. `fill`: its folder in the first container, which fills it; `path`: a path in
    the volume."""

    name: str
    source: dict[str, Any]
    mount: str
    fill: str = ""
    path: str = ""
    read_only: bool = False

    def mounted(self) -> dict[str, Any]:
        """As the container has it."""
        return {
            "name": self.name, "mountPath": self.mount, **({"subPath": self.path} if self.path else {}),
            **({"readOnly": True} if self.read_only else {}),
        }  # fmt: skip


def volumes(plan: Plan, wanted: Wanted) -> tuple[Volume, ...]:
    """All volumes of a pod of this plan."""
    return tuple(_volumes(plan, wanted))


def _volumes(plan: Plan, wanted: Wanted) -> Iterator[Volume]:
    # Memory counts as the pod's own; what the root file system would hold is scratch, so that it may be read-only.
    yield Volume(name="run", source=_memory(_RUN_BYTES), mount="/run/devenv")
    yield Volume(name="shm", source=_memory(plan.shm_size_bytes), mount="/dev/shm")  # noqa: S108 - its usual place
    for name, mount in (("tmp", "/tmp"), ("log", "/var/log/devenv")):  # noqa: S108
        yield Volume(name=name, source={"emptyDir": {}}, mount=mount)
    yield Volume(name="home", source={"emptyDir": {}}, mount=HOME, fill="home")
    if wanted.role != RUN:
        secret = {"secret": {"secretName": wanted.token_secret, "defaultMode": 0o440}}
        yield Volume(name="host", source=secret, mount="/run/devenv-host", read_only=True)
    # Replicas share nothing that they write.
    own: dict[str, Any] | None = {"emptyDir": {}} if wanted.role == SERVE else None
    yield Volume(name="workspace", source=own or _claim(wanted, "workspace"), mount=WORKSPACE, fill="workspace")
    yield Volume(name="data", source=own or _claim(wanted, "data"), mount=f"/mnt/{wanted.name}")
    for name, mount in plan.volumes:
        yield Volume(name=f"vol-{name}", source=own or _claim(wanted, f"vol-{name}"), mount=mount)
    if plan.model:
        claim = {"persistentVolumeClaim": {"claimName": plan.model.volume, "readOnly": True}}
        yield Volume(
            name="model", source=claim, mount=plan.model.target(wanted.name), path=MODEL_FOLDER, read_only=True
        )
    if wanted.settings.uid != plan.uid:
        yield Volume(
            name="etc", source={"emptyDir": {}}, mount="/etc/passwd", fill="etc", path="passwd", read_only=True
        )


def claims(plan: Plan, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """The claims of an environment, and that of its model, which all of the namespace share."""
    settings = wanted.settings
    sizes = {"workspace": settings.workspace_size, "data": settings.data_size}
    if wanted.role != SERVE:
        for name in ("workspace", "data", *(f"vol-{name}" for name, _ in plan.volumes)):
            size = sizes.get(name, settings.data_size)
            yield claim(wanted.volume(name), size, wanted)
    if plan.model:
        yield model_claim(plan, wanted)


def model_claim(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    """The claim of the weights, which belongs to no environment."""
    assert plan.model
    mebibytes = (sum(file.size for file in plan.model.locked.files) >> 20) * 11 // 10 + 64
    found = {"name": plan.model.volume, "labels": MODEL, "annotations": {f"{PREFIX}model": plan.model.locked.key}}
    return _sized(found, f"{mebibytes}Mi", wanted)


def claim(name: str, size: str, wanted: Wanted) -> dict[str, Any]:
    """A claim of an environment, which outlives its pods of every role."""
    return _sized(metadata(name, dataclasses.replace(wanted, role="volume")), size, wanted)


def _sized(found: dict[str, Any], size: str, wanted: Wanted) -> dict[str, Any]:
    settings = wanted.settings
    named = {"storageClassName": settings.storage_class} if settings.storage_class else {}
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": found,
        "spec": {"accessModes": [settings.access_mode], **named, "resources": {"requests": {"storage": size}}},
    }  # fmt: skip


def _memory(size_bytes: int) -> dict[str, Any]:
    return {"emptyDir": {"medium": "Memory", "sizeLimit": str(size_bytes)}}


def _claim(wanted: Wanted, name: str) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": wanted.volume(name)}}
