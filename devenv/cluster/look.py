"""What a cluster has, before anything is made there: rights, nodes, GPUs that are free, storage."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from devenv.cluster import objects
from devenv.cluster.refusals import refused
from devenv.doors.kubectl import Kubectl, KubectlError
from devenv.doors.settings.clusters import ClusterSettings

_POLICY = "pod-security.kubernetes.io/enforce"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Facts of a cluster and a namespace. None: this user may not ask. `classes`: storage classes, the usual one first;
    `gpus`: of the resource of the user's settings, all and free."""

    context: str
    namespace: str
    version: str
    nodes: int | None
    ready: int | None
    gpus: int | None
    free: int | None
    gpu: str
    classes: tuple[str, ...] | None
    default_class: bool
    policy: str | None

    def json(self) -> dict[str, Any]:
        """As `targets check --json` has it."""
        return {**dataclasses.asdict(self), "classes": None if self.classes is None else list(self.classes)}

    def lines(self) -> list[str]:
        """For people."""
        unknown = "you may not ask"
        nodes = unknown if self.nodes is None else f"{self.ready} of {self.nodes} ready"
        gpus = unknown if self.gpus is None else f"{self.free} of {self.gpus} free"
        storage = unknown if self.classes is None else ", ".join(self.classes) or "none"
        remark = "" if self.default_class or self.classes is None else "; none is the usual one: set 'storage_class'"
        return [
            f"{self.context}/{self.namespace}  Kubernetes {self.version}",
            "  rights     all that devenv needs",
            f"  nodes      {nodes}",
            f"  {self.gpu}  {gpus}",
            f"  storage    {storage}{remark}",
            f"  policy     {self.policy or 'none is set'}",
        ]


def look(kubectl: Kubectl, settings: ClusterSettings) -> Cluster:
    """Ask a cluster what it has. Raises TargetError when it does not answer or rights are missing."""
    try:
        version = kubectl.items("version")
    except KubectlError as error:
        raise refused("ask for its version", error, kubectl) from None
    objects.check_rights(kubectl)
    nodes, pods = _asked(kubectl, "nodes"), _asked(kubectl, "pods", "--all-namespaces")
    classes = objects.classes(kubectl)
    namespace = _asked(kubectl, "namespace", kubectl.namespace)
    every = None if nodes is None else sum(_number(_of(one, "status", "allocatable"), settings.gpu) for one in nodes)
    used = None if pods is None else sum(_pods_gpus(one, settings.gpu) for one in pods)
    notes = _of(namespace[0], "metadata", "labels") if namespace else {}
    return Cluster(
        context=kubectl.context, namespace=kubectl.namespace, gpu=settings.gpu,
        version=str(_of(version[0], "serverVersion").get("gitVersion", "")) if version else "",
        nodes=None if nodes is None else len(nodes), ready=None if nodes is None else sum(map(_is_ready, nodes)),
        gpus=every, free=None if every is None or used is None else every - used,
        classes=None if classes is None else tuple(name for name, _ in sorted(classes, key=lambda one: not one[1])),
        default_class=any(is_default for _, is_default in classes or ()),
        policy=str(notes[_POLICY]) if _POLICY in notes else None,
    )  # fmt: skip


def _asked(kubectl: Kubectl, *words: str) -> list[dict[str, Any]] | None:
    try:
        return kubectl.items("get", *words)
    except KubectlError:
        return None


def _of(thing: Mapping[str, Any], *names: str) -> dict[str, Any]:
    found: Any = thing
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _number(values: Mapping[str, Any], name: str) -> int:
    text = str(values.get(name, "0"))
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0


def _pods_gpus(pod: Mapping[str, Any], gpu: str) -> int:
    if _of(pod, "status").get("phase") in ("Succeeded", "Failed"):
        return 0
    containers = _of(pod, "spec").get("containers") or []
    return sum(_number(_of(one, "resources", "requests"), gpu) for one in containers if isinstance(one, dict))


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = _of(node, "status").get("conditions") or []
    return any(
        one.get("type") == "Ready" and one.get("status") == "True" for one in conditions if isinstance(one, dict)
    )
