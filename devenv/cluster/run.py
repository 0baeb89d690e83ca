"""One command in pods of its own, as a Job: its output and exit status here; volumes alone are left at its end."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from devenv.cluster import objects, pods
from devenv.cluster.refusals import refused
from devenv.cluster.up import check_storage
from devenv.cluster.wait import log_tail
from devenv.doors.kubectl import Kubectl, KubectlError
from devenv.doors.terminal.progress import Progress
from devenv.errors import NotReadyError
from devenv.plan.plan import Plan
from devenv.render.kubernetes.objects import objects as objects_of
from devenv.render.kubernetes.pod import CONTAINER
from devenv.render.kubernetes.words import Wanted, metadata

_EVERY_S = 0.4
INDEX = "batch.kubernetes.io/job-completion-index"
_COMMON = 1
"""The status when a pod ended without one of its own."""


def job_name(environment: str) -> str:
    """A name that no other run has."""
    return f"devenv-{environment}-run-{secrets.token_hex(3)}"


def begin(plan: Plan, wanted: Wanted, variables: Mapping[str, str], kubectl: Kubectl) -> list[dict[str, Any]]:
    """Make the Job; returns what is to be removed at its end. `variables` reach it by a Secret. Raises TargetError."""
    objects.check_rights(kubectl)
    things = [*objects_of(plan, wanted)]
    own = [one for one in things if one["kind"] != "PersistentVolumeClaim"]
    if variables:
        job = next(one for one in own if one["kind"] == "Job")
        container = job["spec"]["template"]["spec"]["containers"][0]
        container["envFrom"] = [{"secretRef": {"name": wanted.top}}]
        data = {name: base64.b64encode(value.encode()).decode() for name, value in variables.items()}
        own.insert(0, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(wanted.top, wanted), "data": data})
    found = objects.existing(kubectl, things)
    objects.check_ours(found.values(), wanted.name, kubectl)
    claims = [one for one in things if one not in own and objects.key(one) not in found]
    check_storage(kubectl, claims)
    objects.dry_run(kubectl, [*claims, *own])
    objects.apply(kubectl, [*claims, *own])
    return own


def follow(wanted: Wanted, kubectl: Kubectl, progress: Progress, show: Callable[[str, str], None]) -> int:
    """Let `show` print what each pod says, in the order of their numbers, once it has begun (pod, prefix); returns the
    first status that is not 0. Raises NotReadyError for a pod that cannot begin."""
    statuses: list[int] = []
    for number in range(wanted.parallel):
        pod = _begun(wanted, number, kubectl, progress)
        show(str(pod["metadata"]["name"]), f"{number}: " if wanted.parallel > 1 else "")
        statuses.append(_ended(str(pod["metadata"]["name"]), kubectl))
    return next((code for code in statuses if code), 0)


def _begun(wanted: Wanted, number: int, kubectl: Kubectl, progress: Progress) -> dict[str, Any]:
    waited: dict[str, float] = {}
    while True:
        for pod in _pods(wanted, kubectl):
            if wanted.parallel > 1 and _number(pod) != str(number):
                continue
            if pods.is_running(pod) or _status(pod) is not None:
                return pod
            why = pods.trouble(pod, [])
            if why:
                waited[why.message] = waited.get(why.message, 0.0) + _EVERY_S
                if waited[why.message] >= why.patience_s:
                    name = str(pod["metadata"]["name"])
                    detail = log_tail(kubectl, name, why.logs) if why.logs else None
                    raise NotReadyError(why.message, detail=detail, hint=why.hint)
            progress.message(f"{pod['metadata']['name']}: {why.message if why else pods.state(pod)}")
        kubectl.cancel.wait(_EVERY_S)


def _ended(name: str, kubectl: Kubectl) -> int:
    while True:
        try:
            found = kubectl.items("get", "pod", name, "--ignore-not-found")
        except KubectlError as error:
            raise refused("look at the pod", error, kubectl) from None
        if not found:
            return _COMMON
        code = _status(found[0])
        if code is not None:
            return code
        if found[0].get("status", {}).get("phase") in ("Failed", "Succeeded"):
            return _COMMON
        kubectl.cancel.wait(_EVERY_S)


def _pods(wanted: Wanted, kubectl: Kubectl) -> list[dict[str, Any]]:
    return objects.listed(kubectl, "pod", {"job-name": wanted.top})


def _number(pod: Mapping[str, Any]) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(INDEX, ""))


def _status(pod: Mapping[str, Any]) -> int | None:
    """The exit status of the pod's own container; None while it has none."""
    for one in (pod.get("status") or {}).get("containerStatuses") or []:
        ended = (one.get("state") or {}).get("terminated")
        if one.get("name") == CONTAINER and ended:
            return int(ended.get("exitCode", _COMMON))
    return None
