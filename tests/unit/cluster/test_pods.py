"""What a pod says of itself, as the API gives it, and what `up` makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.cluster import pods


def _pod(*, init: Any = None, own: Any = None, **status: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"phase": "Pending", **status}
    if init:
        found["initContainerStatuses"] = [{"name": "fill", "state": init}]
    if own:
        found["containerStatuses"] = [{"name": "environment", "state": own}]
    return {"metadata": {"name": "p"}, "status": found}


def _unschedulable(message: str) -> dict[str, Any]:
    return _pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}])


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("0/3 nodes are available: 3 Insufficient cpu.", "'cpu'"),
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "'gpus'"),
        ("0/3 nodes are available: 3 node(s) had taint {gpu: yes}, that the pod didn't tolerate.", "'tolerations'"),
        ("0/3 nodes are available: 3 node(s) had untolerated taint {gpu: yes}.", "'tolerations'"),
        ("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.", "'node_selector'"),
        ("0/3 nodes are available: 3 pod has unbound immediate PersistentVolumeClaims.", "'storage_class'"),
        ("0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind.", "'storage_class'"),
    ],
)
def test_a_pod_that_no_node_takes_names_the_resource(message: str, remedy: str) -> None:
    why = pods.trouble(_unschedulable(message), [])
    assert why
    assert message in why.message
    assert remedy in why.hint


def test_there_is_patience_where_nodes_or_volumes_are_being_made() -> None:
    wait = "0/3 nodes are available: 3 Insufficient cpu."
    why, growing = (
        pods.trouble(_unschedulable(wait), []),
        pods.trouble(_unschedulable(wait), [{"reason": "TriggeredScaleUp"}]),
    )
    assert why
    assert growing
    assert why.patience_s <= 2 < 60 < growing.patience_s
    binding = pods.trouble(_unschedulable("pod has unbound immediate PersistentVolumeClaims"), [])
    assert binding
    assert binding.patience_s > 2


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_cannot_be_pulled(reason: str) -> None:
    for where in ("init", "own"):
        why = pods.trouble(_pod(**{where: {"waiting": {"reason": reason, "message": "not found"}}}), [])
        assert why
        assert "cannot pull the image: not found" in why.message
        assert "pull_secret" in why.hint
        assert why.patience_s == 0


def test_a_container_that_ends_shows_its_log() -> None:
    why = pods.trouble(_pod(own={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}), [])
    assert why
    assert why.logs == "environment"
    why = pods.trouble(_pod(init={"terminated": {"exitCode": 64, "reason": "Error"}}), [])
    assert why
    assert ("status 64" in why.message, why.logs) == (True, "fill")
    why = pods.trouble(_pod(own={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), [])
    assert why
    assert "'memory_limit'" in why.hint
    assert pods.trouble(_pod(init={"terminated": {"exitCode": 0, "reason": "Completed"}}), []) is None


def test_volumes_and_secrets_that_are_missing() -> None:
    why = pods.trouble(_pod(), [{"reason": "FailedMount", "message": 'secret "x" not found'}])
    assert why
    assert 'secret "x" not found' in why.message
    assert why.patience_s > 0, "a volume may still be attached"
    why = pods.trouble(_pod(own={"waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}}), [])
    assert why
    assert why.patience_s == 0


def test_a_pod_that_was_evicted() -> None:
    why = pods.trouble(_pod(phase="Failed", reason="Evicted", message="The node was low on memory."), [])
    assert why
    assert why.message == "the pod ended: Evicted: The node was low on memory."


def test_no_pod_at_all() -> None:
    words = 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
    why = pods.refusal({"status": {"conditions": [failure]}})
    assert why
    assert words in why.message
    assert "uid: cluster" in why.hint
    assert pods.refusal({"status": {"conditions": [{**failure, "status": "False"}]}}) is None
    assert pods.refusal({}) is None


def test_states_in_one_word() -> None:
    running = _pod(own={"running": {}}, phase="Running", conditions=[{"type": "Ready", "status": "True"}])
    assert pods.state(running) == "running"
    assert pods.state({**running, "metadata": {"deletionTimestamp": "now"}}) == "terminating"
    assert not pods.is_running({**running, "metadata": {"deletionTimestamp": "now"}})
    assert pods.state(_pod(own={"running": {}}, phase="Running")) == "starting"
    assert pods.state(_pod()) == "pending"
    assert pods.state(_pod(own={"waiting": {"reason": "CrashLoopBackOff"}})) == "CrashLoopBackOff"
    assert pods.trouble(_pod(own={"waiting": {"reason": "PodInitializing"}}), []) is None


@pytest.mark.parametrize("strange", [{}, {"status": None}, {"status": {"conditions": "x", "containerStatuses": [1]}}])
def test_what_is_no_pod_is_none_that_runs(strange: dict[str, Any]) -> None:
    assert not pods.is_running(strange)
    assert pods.trouble(strange, []) is None
