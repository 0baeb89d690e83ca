"""Waiting for the pods of a workload, with the pod's own words when they cannot come up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from devenv.cluster import pods
from devenv.cluster.refusals import refused
from devenv.doors.kubectl import Kubectl, KubectlError
from devenv.doors.terminal.progress import Progress
from devenv.errors import NotReadyError
from devenv.render.kubernetes.pod import CONTAINER

_EVERY_S = 0.4
_TAIL = 20
_LONGEST_S = 3600.0


class Waiting:
    """Asks for the pods of one workload again and again: a watch that the API server ends would have to be begun again,
    and what it missed asked for."""

    def __init__(self, kubectl: Kubectl, selector: str, deployment: str, progress: Progress) -> None:
        self._kubectl = kubectl
        self._selector = selector
        self._deployment = deployment
        self._progress = progress
        self._since: dict[str, float] = {}
        self._said = ""

    def running(self, image: str, *, timeout_s: float = _LONGEST_S) -> dict[str, Any]:
        """The newest pod with this image, once its container runs. Raises NotReadyError, TargetError,
        CancelledError."""
        end = time.monotonic() + timeout_s
        while True:
            deployment, found = self._look()
            alive = [pod for pod in found if not pod["metadata"].get("deletionTimestamp") and _has(pod, image)]
            for pod in sorted(alive, key=_age, reverse=True):
                if pods.is_running(pod):
                    return pod
                self.check(pod)
            if not alive and deployment and (why := pods.refusal(deployment)):
                self._raise(why, None)
            self._tell(alive[0] if alive else None)
            if time.monotonic() > end:
                raise NotReadyError(
                    f"the pod did not start within {timeout_s:.0f} s", hint=f"kubectl describe pod -l {self._selector}"
                )
            self._kubectl.cancel.wait(_EVERY_S)

    def check(self, pod: Mapping[str, Any]) -> None:
        """Raise NotReadyError for a pod that cannot come up, as soon as it has been so for long enough."""
        why = pods.trouble(pod, self._events(pod))
        if why is None:
            self._since.clear()
            return
        began = self._since.setdefault(why.message, time.monotonic())
        if time.monotonic() - began >= why.patience_s:
            self._raise(why, pod)
        self._progress.message(why.message)

    def _look(self) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        try:
            found = self._kubectl.items("get", "deployment,pod", "--selector", self._selector)
        except KubectlError as error:
            raise refused("look at the pod", error, self._kubectl) from None
        deployments = [
            one for one in found if one.get("kind") == "Deployment" and one["metadata"]["name"] == self._deployment
        ]
        return next(iter(deployments), None), [one for one in found if one.get("kind") == "Pod"]

    def _events(self, pod: Mapping[str, Any]) -> list[dict[str, Any]]:
        uid = pod["metadata"].get("uid", "")
        try:
            return self._kubectl.items("get", "events", "--field-selector", f"involvedObject.uid={uid}")
        except KubectlError:
            return []  # they only explain

    def _tell(self, pod: Mapping[str, Any] | None) -> None:
        words = f"{pod['metadata']['name']}: {pods.state(pod)}" if pod else "waiting for the pod"
        if words != self._said:
            self._said = words
            self._progress.message(words)

    def _raise(self, why: pods.Trouble, pod: Mapping[str, Any] | None) -> None:
        detail = log_tail(self._kubectl, pod["metadata"]["name"], why.logs) if pod and why.logs else None
        raise NotReadyError(why.message, detail=detail, hint=why.hint)


def log_tail(kubectl: Kubectl, pod: str, container: str = CONTAINER) -> str | None:
    """The last lines that a container printed, of its earlier run where it has begun again."""
    for earlier in (["--previous"], []):
        try:
            words = kubectl.run(
                "logs", pod, "--container", container, f"--tail={_TAIL}", "--limit-bytes=65536", *earlier
            )
        except KubectlError:
            continue
        if words.out.strip():
            return words.out.strip()
    return None


def _has(pod: Mapping[str, Any], image: str) -> bool:
    return any(one.get("image") == image for one in pod.get("spec", {}).get("containers", []))


def _age(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))
