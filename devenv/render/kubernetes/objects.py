"""The objects of an environment in a cluster: its claims, its workload, who reaches it. Only APIs that are stable."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from devenv.errors import LockError
from devenv.plan.inside import SERVE
from devenv.plan.plan import Plan
from devenv.plan.role import in_role
from devenv.render.kubernetes.pod import template
from devenv.render.kubernetes.volumes import claims
from devenv.render.kubernetes.words import RUN, Wanted, metadata, selector, told_of


def objects(plan: Plan, wanted: Wanted) -> tuple[dict[str, Any], ...]:
    """All objects but the Secret with the token, in the order in which they are applied. `plan`: the image's. Raises
    UsageError, and LockError where the preset's model is not pinned yet."""
    wanted.check()
    if plan.lock.open:
        raise LockError(
            f"the model of {plan.preset} is not pinned yet, so a cluster cannot know its files",
            hint=f"devenv prefetch {plan.argument or ''}".rstrip(),
        )
    plan = in_role(plan, wanted.role) if wanted.role != RUN else plan
    return (*claims(plan, wanted), *_workload(plan, wanted))


def _workload(plan: Plan, wanted: Wanted) -> Iterator[dict[str, Any]]:
    if wanted.role == RUN:
        yield _closed(wanted)
        yield _job(plan, wanted)
        return
    if wanted.role == SERVE:
        yield _service(plan, wanted)
    else:
        yield _closed(wanted)
    yield _deployment(plan, wanted)
    if wanted.role == SERVE and wanted.autoscale:
        yield _autoscaler(wanted)


def token_secret(wanted: Wanted, token: str) -> dict[str, Any]:
    """The Secret, which rendered files never hold."""
    data = {"token": base64.b64encode(token.encode()).decode()}
    return {
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata(wanted.token_secret, wanted), "type": "Opaque",
        "data": data,
    }  # fmt: skip


def _deployment(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    serving = wanted.role == SERVE
    # Two pods of a workbench would write the same volumes.
    strategy: dict[str, Any] = {"type": "Recreate"}
    if serving:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    longest = max((service.timeout_s for service in plan.services), default=60)
    replicas = {} if serving and wanted.autoscale else {"replicas": wanted.replicas if serving else 1}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": metadata(wanted.top, wanted, told_of(plan)),
        "spec": {
            **replicas,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 600 + longest,
            "selector": {"matchLabels": selector(wanted.name, wanted.role)},
            "strategy": strategy,
            "template": template(plan, wanted),
        },
    }  # fmt: skip


def _job(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    several = wanted.parallel > 1
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": metadata(wanted.top, wanted, told_of(plan)),
        "spec": {
            "backoffLimit": 0, "completions": wanted.parallel, "parallelism": wanted.parallel,
            # JOB_COMPLETION_INDEX tells each pod its part.
            **({"completionMode": "Indexed"} if several else {}),
            "template": template(plan, wanted),
        },
    }  # fmt: skip


def _service(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    ports = [{"name": name, "port": port, "targetPort": port, "protocol": "TCP"} for name, port in plan.ports]
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(wanted.top, wanted),
        "spec": {"type": "ClusterIP", "selector": selector(wanted.name, wanted.role), "ports": ports},
    }  # fmt: skip


def _closed(wanted: Wanted) -> dict[str, Any]:
    """Nobody in the cluster reaches its pods: pages come through the API server alone."""
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": metadata(wanted.top if wanted.role == RUN else f"{wanted.top}-{wanted.role}", wanted),
        "spec": {"podSelector": {"matchLabels": selector(wanted.name, wanted.role)}, "policyTypes": ["Ingress"]},
    }  # fmt: skip


def _autoscaler(wanted: Wanted) -> dict[str, Any]:
    assert wanted.autoscale
    fewest, most = wanted.autoscale
    return {
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": metadata(wanted.top, wanted),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": wanted.top},
            "minReplicas": fewest, "maxReplicas": most, "targetCPUUtilizationPercentage": 70,
        },
    }  # fmt: skip
