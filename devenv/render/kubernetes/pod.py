"""The pod of an environment, in each role. It is allowed where Pod Security is `restricted`."""

from __future__ import annotations

import math
from typing import Any

from devenv.doors.settings.clusters import ClusterSettings
from devenv.plan.inside import SERVE, WORKBENCH
from devenv.plan.plan import Plan
from devenv.plan.role import DRAIN, FILL, HEALTHY
from devenv.render.kubernetes.volumes import Volume, volumes
from devenv.render.kubernetes.words import MODEL, RUN, Wanted, labels

CONTAINER = "environment"
"""The container that people and commands mean."""
_DRAIN_S = 60
_SPREAD_S = 5


def template(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    """Metadata and specification of the pod, as workloads hold them."""
    return {
        "metadata": {"labels": labels(wanted.name, wanted.role)},
        "spec": spec(plan, wanted),
    }


def spec(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    """The pod's specification."""
    settings, held = wanted.settings, volumes(plan, wanted)
    first = _first(plan, wanted, held)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The pod's own first process then forwards signals and ends what is left, as docker-init does.
        "shareProcessNamespace": True,
        "hostname": wanted.name,
        "restartPolicy": "Never" if wanted.role == RUN else "Always",
        "terminationGracePeriodSeconds": _SPREAD_S + _DRAIN_S + 10 if wanted.role == SERVE else 15,
        "securityContext": _user(plan, wanted),
        **_placed(settings),
        **({"initContainers": [first]} if first else {}),
        "containers": [_container(plan, wanted, held)],
        "volumes": [{"name": one.name, **one.source} for one in held],
    }  # fmt: skip


def _user(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    uid = wanted.settings.uid
    own = {
        "runAsUser": uid, "runAsGroup": uid, "fsGroup": uid, "fsGroupChangePolicy": "OnRootMismatch",
        "supplementalGroups": [plan.gid],  # that may change the Python packages
    }  # fmt: skip
    return {"runAsNonRoot": True, **(own if uid else {}), "seccompProfile": {"type": "RuntimeDefault"}}


def _limits(*, read_only: bool) -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": read_only,
    }  # fmt: skip


def _first(plan: Plan, wanted: Wanted, held: tuple[Volume, ...]) -> dict[str, Any] | None:
    """The container before the others, where volumes hide files of the image that have to be in them."""
    is_home = any(file.target.startswith("/home/") for file in plan.files)
    needed = {"home": is_home, "workspace": plan.workspace is not None, "etc": True}
    filled = [one for one in held if one.fill and needed[one.fill]]
    if not filled:
        return None
    return {
        "name": "fill", "image": wanted.image, "imagePullPolicy": "IfNotPresent", "command": [FILL],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": _limits(read_only=True),
        "volumeMounts": [{"name": one.name, "mountPath": f"/fill/{one.fill}"} for one in filled],
    }  # fmt: skip


def _container(plan: Plan, wanted: Wanted, held: tuple[Volume, ...]) -> dict[str, Any]:
    ports = [{"name": f"p{port}", "containerPort": port, "protocol": "TCP"} for _, port in plan.ports]
    return {
        "name": CONTAINER,
        "image": wanted.image,
        "imagePullPolicy": "IfNotPresent",
        **({"args": list(wanted.command)} if wanted.role == RUN else {}),
        "env": [{"name": name, "value": value} for name, value in sorted(_variables(plan, wanted).items())],
        **({"ports": ports} if ports and wanted.role != RUN else {}),
        "resources": _resources(plan, wanted),
        # People install packages in a workbench; they last until the pod ends.
        "securityContext": _limits(read_only=wanted.role != WORKBENCH),
        **(_probes(plan, wanted) if wanted.role != RUN else {}),
        "volumeMounts": [one.mounted() for one in held],
    }


def _variables(plan: Plan, wanted: Wanted) -> dict[str, str]:
    found = {"DEVENV_NAME": wanted.name, **dict(plan.model.variables(wanted.name) if plan.model else ())}
    if wanted.role != RUN:
        found["DEVENV_LOGS"] = "stdout"
    if wanted.role == SERVE:
        # Programs of the cluster ask by the Service's names, with the token.
        found |= {"DEVENV_ROLE": SERVE, "DEVENV_PEERS": "any", "DEVENV_HOSTS": "any"}
    if plan.caches:
        top = f"/mnt/{wanted.name}/.cache/{plan.cache_key}-cluster"
        found |= {"DEVENV_CACHE": top, "DEVENV_CACHES": " ".join(sorted({folder for _, folder in plan.caches}))}
        found |= {variable: f"{top}/{folder}" for variable, folder in plan.caches}
    return found


def _resources(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    settings = wanted.settings
    gpus = {settings.gpu: str(settings.gpus)} if plan.gpu and settings.gpus else {}
    limits = {**({"memory": settings.memory_limit} if settings.memory_limit else {}), **gpus}
    return {
        "requests": {"cpu": settings.cpu, "memory": settings.memory, **gpus},
        **({"limits": limits} if limits else {}),
    }


def _probes(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    """Commands, and no requests of the kubelet, which cannot have the token: every page needs it."""
    longest = max((service.timeout_s for service in plan.services), default=60)

    def probe(every_s: int, failures: int) -> dict[str, Any]:
        return {
            "exec": {"command": [HEALTHY]},
            "periodSeconds": every_s,
            "timeoutSeconds": 10,
            "failureThreshold": failures,
        }

    # No liveness for people's work: the supervisor starts services again, and a restart would end a notebook's kernel.
    serving = {
        "livenessProbe": probe(15, 12),
        "lifecycle": {"preStop": {"exec": {"command": [DRAIN, str(_SPREAD_S), str(_DRAIN_S)]}}},
    }
    # Nothing in the cluster waits for a workbench, and each probe starts a program: many of them would be felt.
    every_s = 5 if wanted.role == SERVE else 30
    return {
        "startupProbe": probe(5, math.ceil(longest / 5)),
        "readinessProbe": probe(every_s, 2),
        **(serving if wanted.role == SERVE else {}),
    }


FILLED = "/fill/model"
"""Where the pod that takes weights has their volume."""
_PATIENT = 'touch /tmp/alive; while [ -n "$(find /tmp/alive -mmin -5)" ]; do sleep 5; done'


def weights_pod(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    """A pod that takes a model's weights from devenv, which touches /tmp/alive meanwhile; it ends five minutes later.
    It runs where an environment would: storage may belong to a zone."""
    assert plan.model
    settings = wanted.settings
    container = {
        "name": CONTAINER, "image": wanted.image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", _PATIENT],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "securityContext": _limits(read_only=True),
        "volumeMounts": [{"name": "model", "mountPath": FILLED}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": f"devenv-fill-{plan.model.locked.digest[:12]}", "labels": MODEL},
        "spec": {
            "automountServiceAccountToken": False, "enableServiceLinks": False, "restartPolicy": "Never",
            "activeDeadlineSeconds": 86400, "terminationGracePeriodSeconds": 1,
            "securityContext": _user(plan, wanted), **_placed(settings),
            "containers": [container],
            "volumes": [
                {"name": "model", "persistentVolumeClaim": {"claimName": plan.model.volume}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }  # fmt: skip


def _placed(settings: ClusterSettings) -> dict[str, Any]:
    return {
        **({"imagePullSecrets": [{"name": settings.pull_secret}]} if settings.pull_secret else {}),
        **({"runtimeClassName": settings.runtime_class} if settings.runtime_class else {}),
        **({"nodeSelector": dict(settings.node_selector)} if settings.node_selector else {}),
        **({"tolerations": [dict(one) for one in settings.tolerations]} if settings.tolerations else {}),
    }
