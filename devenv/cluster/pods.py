"""What a pod says of itself, judged: it runs, it waits, or it cannot come up and why. Pure: objects of the API in,
values out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from devenv.cluster.refusals import remedy

_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CREATE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError")
_SETTINGS = "in config.yaml, section kubernetes"
_SCHEDULING = (
    (re.compile(r"Insufficient (cpu|memory)"), f"ask for less ('cpu', 'memory' {_SETTINGS}), or free some: devenv ps"),
    (
        re.compile(r"Insufficient \S*/\S*"),
        (
            f"no node has that many free: another resource or number is 'gpu' and 'gpus' {_SETTINGS}; what nodes have: "
            "kubectl describe nodes"
        ),
    ),
    (re.compile(r"taints?\b"), f"add 'tolerations' {_SETTINGS}, as the taint in the message says"),
    (re.compile(r"node affinity|node selector|didn't match"), f"correct 'node_selector' {_SETTINGS}"),
    (
        re.compile(r"[Pp]ersistent ?[Vv]olume|volume binding|storageclass", re.IGNORECASE),
        f"no volume can be had: name a 'storage_class' that makes some {_SETTINGS}: kubectl get storageclass",
    ),
)
_UNBOUND = re.compile(r"unbound|volume binding|waiting for a volume|bind persistent", re.IGNORECASE)
_GROWS = ("TriggeredScaleUp", "Nominated")
"""Events of programs that add nodes for a pod."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a pod does not come up. `logs`: whose last log explains it; `patience_s`: how long the same may be so
    before it counts."""

    message: str
    hint: str
    logs: str = ""
    patience_s: float = 0.0


def is_running(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's own container runs, and nobody has asked the pod to end."""
    if pod.get("metadata", {}).get("deletionTimestamp"):
        return False
    return any("running" in (one.get("state") or {}) for one in _list(pod, "containerStatuses"))


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's probes pass."""
    is_true = any(one.get("type") == "Ready" and one.get("status") == "True" for one in _list(pod, "conditions"))
    return is_true and is_running(pod)


def state(pod: Mapping[str, Any]) -> str:
    """One word for people, as kubectl prints it."""
    if pod.get("metadata", {}).get("deletionTimestamp"):
        return "terminating"
    reason = next((reason for _, reason, _ in _waiting(pod) if reason), "")
    if is_ready(pod):
        return "running"
    return reason or ("starting" if is_running(pod) else str((pod.get("status") or {}).get("phase", "unknown")).lower())


def trouble(pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Trouble | None:
    """Why this pod cannot come up; None while it may."""
    events = [*events]
    found = _of_containers(pod) or _of_scheduling(pod, events) or _of_mounts(pod, events)
    if found:
        return found
    status = pod.get("status") or {}
    if status.get("phase") == "Failed":
        why = f"{status.get('reason') or 'it failed'}: {status.get('message') or ''}".rstrip(": ")
        return Trouble(message=f"the pod ended: {why}", hint="kubectl describe pod", logs="environment")
    return None


def refusal(deployment: Mapping[str, Any]) -> Trouble | None:
    """Why no pod is made at all: quota, policy, rights."""
    for one in _list(deployment, "conditions"):
        if one.get("type") == "ReplicaFailure" and one.get("status") == "True":
            words = str(one.get("message") or one.get("reason"))
            hint = remedy(words) or "kubectl get events"
            return Trouble(message=f"the cluster makes no pod: {words}", hint=hint)
    return None


def _of_containers(pod: Mapping[str, Any]) -> Trouble | None:
    for name, reason, message in _waiting(pod):
        if reason in _PULL:
            return Trouble(
                message=f"a node cannot pull the image: {message or reason}",
                hint=f"the nodes need the registry and a login: 'registry' and 'pull_secret' {_SETTINGS}",
            )
        if reason in _CREATE:
            return Trouble(message=f"the container cannot be made: {reason}: {message}", hint="kubectl describe pod")
        if reason == "CrashLoopBackOff":
            return Trouble(message=f"the container {name!r} ends again and again", hint=_LOOK, logs=name)
    for one in (*_list(pod, "initContainerStatuses"), *_list(pod, "containerStatuses")):
        ended = (one.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode"):
            how = f"status {ended['exitCode']}" + (f" ({ended['reason']})" if ended.get("reason") else "")
            hint = (
                f"it needs more memory: 'memory' and 'memory_limit' {_SETTINGS}"
                if ended.get("reason") == "OOMKilled"
                else _LOOK
            )
            return Trouble(
                message=f"the container {one.get('name')!r} ended with {how}", hint=hint, logs=str(one.get("name"))
            )
    return None


_LOOK = "see its log: devenv logs; correct the cause, then: devenv up"


def _of_scheduling(pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Trouble | None:
    for one in _list(pod, "conditions"):
        if one.get("type") != "PodScheduled" or one.get("status") != "False" or one.get("reason") != "Unschedulable":
            continue
        words = str(one.get("message", ""))
        hint = next((text for pattern, text in _SCHEDULING if pattern.search(words)), "kubectl describe pod")
        grows = any(event.get("reason") in _GROWS for event in events)
        patience = 900.0 if grows else 20.0 if _UNBOUND.search(words) else 1.0
        return Trouble(
            message=f"no node can take the pod: {words}", patience_s=patience,
            hint=f"{hint}. The pod stays and starts when there is room; remove it: devenv down",
        )  # fmt: skip
    return None


def _of_mounts(pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Trouble | None:
    if is_running(pod):
        return None
    for event in events:
        if event.get("reason") in ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"):
            return Trouble(
                message=f"the pod's volumes or network cannot be had: {event.get('message')}", patience_s=30.0,
                hint="kubectl describe pod; a volume that only one node can have is free when its other pod has ended",
            )  # fmt: skip
    return None


def _waiting(pod: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for one in (*_list(pod, "initContainerStatuses"), *_list(pod, "containerStatuses")):
        waiting = (one.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if reason not in ("", "ContainerCreating", "PodInitializing"):
            yield str(one.get("name")), reason, str(waiting.get("message") or "")


def _list(thing: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = (thing.get("status") or {}).get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
