"""Environments in a namespace after `up`: listed, looked at, stopped, started, removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from devenv.checks import smoke
from devenv.checks.smoke import Report
from devenv.cluster import forward, objects, pods
from devenv.cluster.objects import Key
from devenv.cluster.up import Inside, scale, urls
from devenv.cluster.wait import Waiting
from devenv.container.state import Environment
from devenv.doors.kubectl import Kubectl
from devenv.doors.terminal.progress import Progress
from devenv.doors.terminal.stages import Stages
from devenv.doors.untrusted import from_json, value_of
from devenv.errors import NotReadyError, UsageError
from devenv.plan.inside import PlannedCheck, PlannedService
from devenv.plan.role import HEALTHY
from devenv.render.kubernetes.pod import CONTAINER
from devenv.render.kubernetes.words import (
    APP,
    COMPONENT,
    FORMAT,
    INSTANCE,
    MANAGED_BY,
    MANAGER,
    PREFIX,
    query,
    selector,
)

_OURS = {APP: MANAGER, MANAGED_BY: MANAGER}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """An environment in the namespace, as its objects describe it. `pod`: the newest, None without one."""

    name: str
    role: str
    preset: str
    lock_digest: str
    image: str
    replicas: int
    ready: int
    services: tuple[PlannedService, ...]
    checks: tuple[PlannedCheck, ...]
    ports: tuple[tuple[str, int], ...]
    pod: Mapping[str, Any] | None
    workload: str

    @property
    def state(self) -> str:
        """One word for people."""
        if self.pod is None:
            return "stopped" if not self.replicas else "without a pod"
        return pods.state(self.pod)

    def running_pod(self) -> str:
        """The name of the pod that runs. Raises NotReadyError."""
        if self.pod is None or not pods.is_running(self.pod):
            raise NotReadyError(f"{self.name} does not run: {self.state}", hint=f"devenv up --name {self.name}")
        return str(self.pod["metadata"]["name"])

    def urls(self, environment: Environment) -> dict[str, str]:
        """Its pages on this machine, where they are forwarded."""
        if not forward.is_alive(environment):
            return {}
        return urls(self.services, self.ports, environment.ports(), environment.known_token() or "TOKEN")

    def json(self, environment: Environment, kubectl: Kubectl) -> dict[str, Any]:
        """As `ps --json` has it."""
        return {
            "name": self.name, "preset": self.preset, "role": self.role, "state": self.state,
            "lock_digest": self.lock_digest, "image": self.image, "replicas": self.replicas, "ready": self.ready,
            "pod": self.pod["metadata"]["name"] if self.pod else None,
            "node": self.pod["spec"].get("nodeName") if self.pod else None,
            "urls": self.urls(environment), "context": kubectl.context, "namespace": kubectl.namespace,
        }  # fmt: skip


def every(kubectl: Kubectl) -> tuple[Here, ...]:
    """Every environment in the namespace. Raises TargetError."""
    found = objects.listed(kubectl, "deployment,pod", _OURS)
    deployments = [one for one in found if one["kind"] == "Deployment" and objects.is_ours(one)]
    return tuple(
        sorted(
            (_here(one, [pod for pod in found if pod["kind"] == "Pod"]) for one in deployments),
            key=lambda one: one.name,
        )
    )


def select(kubectl: Kubectl, name: str | None, preset: str | None = None) -> Here:
    """The environment of that name, or the only one that can be meant: that of this folder's `preset`, or of the
    namespace. Raises UsageError."""
    found = every(kubectl)
    place = f"{kubectl.context}/{kubectl.namespace}"
    for wanted in (name, preset):
        if wanted is None:
            continue
        if it := next((one for one in found if one.name == wanted), None):
            return it
        if name is not None:
            names = ", ".join(one.name for one in found) or "none"
            raise UsageError(f"no environment is called {name!r}", where=place, hint=f"there are: {names}")
    if len(found) != 1:
        names = ", ".join(one.name for one in found)
        hint = f"name one: {names}" if names else "make one: devenv up PRESET --on k8s"
        raise UsageError(
            "several environments can be meant" if names else "no environment is there", where=place, hint=hint
        )
    return found[0]


def _here(deployment: Mapping[str, Any], every_pod: list[dict[str, Any]]) -> Here:
    labels, notes = deployment["metadata"]["labels"], deployment["metadata"].get("annotations") or {}
    chosen = deployment["spec"]["selector"]["matchLabels"].items()
    own = [one for one in every_pod if chosen <= (one["metadata"].get("labels") or {}).items()]
    alive = [one for one in own if not one["metadata"].get("deletionTimestamp")] or own
    alive.sort(key=lambda one: (pods.is_running(one), str(one["metadata"].get("creationTimestamp"))))
    known = notes.get(f"{PREFIX}format") == str(FORMAT)
    return Here(
        name=str(labels.get(INSTANCE)), role=str(labels.get(COMPONENT)), preset=str(notes.get(f"{PREFIX}preset", "")),
        lock_digest=str(notes.get(f"{PREFIX}lock", "")), workload=str(deployment["metadata"]["name"]),
        image=str(deployment["spec"]["template"]["spec"]["containers"][0].get("image", "")),
        replicas=int(deployment["spec"].get("replicas", 1)),
        ready=int((deployment.get("status") or {}).get("readyReplicas", 0)),
        services=_values(PlannedService, notes.get(f"{PREFIX}services")) if known else (),
        checks=_values(PlannedCheck, notes.get(f"{PREFIX}smoke")) if known else (),
        ports=tuple((str(name), int(port)) for name, port in _list(notes.get(f"{PREFIX}ports"))) if known else (),
        pod=alive[-1] if alive else None,
    )  # fmt: skip


def _list(text: Any) -> list[Any]:
    try:
        value = from_json(str(text or "[]"))
    except ValueError:
        return []
    return value if isinstance(value, list) else []


def _values(kind: type[Any], text: Any) -> tuple[Any, ...]:
    """Values that whoever may write in the namespace may have changed: what cannot be read is left out."""
    found = []
    for one in _list(text):
        try:
            found.append(value_of(kind, one))
        except ValueError:
            continue
    return tuple(found)


def services(here: Here, kubectl: Kubectl) -> dict[str, str]:
    """Each service's state now, asked inside."""
    done = kubectl.exec(here.running_pod(), [HEALTHY], container=CONTAINER, timeout_s=60)
    lines = [line.partition(": ") for line in done.out.splitlines()]
    return {name: said for name, colon, said in lines if colon}


def stop(here: Here, environment: Environment, kubectl: Kubectl) -> None:
    """End its pods; everything else stays. Raises TargetError."""
    forward.end(environment)
    scale(kubectl, here.workload, 0)


def start(here: Here, environment: Environment, kubectl: Kubectl, stages: Stages) -> None:
    """Have a pod again, and its pages on this machine. Raises TargetError, NotReadyError, CancelledError."""
    selected = query(selector(here.name, here.role))
    with stages.stage("boot") as stage:
        if not here.replicas:
            scale(kubectl, here.workload, 1)
        Waiting(kubectl, selected, here.workload, stage).running(here.image)
    with stages.stage("forward"):
        ports = forward.choose(environment, tuple(port for _, port in here.ports))
        forward.begin(environment, kubectl, selected, ports, asked=tuple(one.port for one in here.services if one.port))


def smoked(here: Here, kubectl: Kubectl, progress: Progress) -> Report:
    """Run its smoke test again. Raises NotReadyError."""
    return smoke.every(here.checks, Inside(kubectl, here.running_pod()), progress=progress)


def down(name: str, environment: Environment, kubectl: Kubectl, *, with_volumes: bool, ports: bool) -> tuple[Key, ...]:
    """Remove exactly our objects of that environment, and its volumes only when asked for. Raises TargetError."""
    forward.end(environment)
    found = [one for one in objects.of_environment(kubectl, name) if objects.is_ours(one)]
    secrets = [one for one in found if one["kind"] == "Secret" and not with_volumes]
    removed = objects.remove(kubectl, [one for one in found if one not in secrets])
    if with_volumes:
        claims = objects.of_environment(kubectl, name, kinds="persistentvolumeclaim", role="volume")
        removed += objects.remove(kubectl, claims)
        environment.forget()
    elif ports:
        environment.keep_ports({})
    return removed
