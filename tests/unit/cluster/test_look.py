"""What a cluster has, from what it answers."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.cluster.look import look
from devenv.doors.kubectl import KubectlError
from devenv.doors.process import Outcome
from devenv.doors.settings.clusters import ClusterSettings
from devenv.errors import TargetError
from tests.unit.cluster.fake import FakeKubectl


class Asked(FakeKubectl):
    """Answers by kind; a kind without an answer is forbidden."""

    def __init__(self, **answers: list[dict[str, Any]]) -> None:
        super().__init__()
        self.answers = answers

    def items(self, *arguments: str, stdin: str | None = None) -> list[dict[str, Any]]:
        if arguments[0] == "create":
            return super().items(*arguments, stdin=stdin)
        kind = arguments[-1] if arguments[0] == "version" else arguments[1]
        if kind not in self.answers:
            raise KubectlError(Outcome(command=arguments, code=1, out="", err="Error from server (Forbidden): no"))
        return self.answers[kind]


def _node(gpus: str, ready: str = "True") -> dict[str, Any]:
    return {"status": {"allocatable": {"nvidia.com/gpu": gpus}, "conditions": [{"type": "Ready", "status": ready}]}}


def _pod(gpus: str, phase: str = "Running") -> dict[str, Any]:
    resources = {"requests": {"nvidia.com/gpu": gpus}}
    return {"status": {"phase": phase}, "spec": {"containers": [{"resources": resources}]}}


def test_gpus_nodes_and_storage() -> None:
    usual = {"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
    kubectl: Any = Asked(
        version=[{"serverVersion": {"gitVersion": "v1.36.2"}}], nodes=[_node("8"), _node("8", "False")],
        pods=[_pod("3"), _pod("1", "Succeeded")], storageclass=[{"metadata": {"name": "a"}}, usual],
        namespace=[{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}],
    )  # fmt: skip
    found = look(kubectl, ClusterSettings())
    assert (found.version, found.nodes, found.ready, found.gpus, found.free) == ("v1.36.2", 2, 1, 16, 13)
    assert (found.classes, found.default_class, found.policy) == (("fast", "a"), True, "restricted")
    assert "  nvidia.com/gpu  13 of 16 free" in found.lines()


def test_what_one_may_not_ask_is_not_made_up() -> None:
    kubectl: Any = Asked(version=[{}])
    found = look(kubectl, ClusterSettings())
    assert (found.nodes, found.gpus, found.free, found.classes) == (None, None, None, None)
    assert "  nodes      you may not ask" in found.lines()
    with pytest.raises(TargetError, match="cannot ask for its version"):
        look(Asked(), ClusterSettings())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "strange", [{}, {"status": None}, {"status": {"allocatable": {"nvidia.com/gpu": "x"}}}, {"status": 3}]
)
def test_strange_nodes_have_nothing(strange: dict[str, Any]) -> None:
    kubectl: Any = Asked(version=[{}], nodes=[strange], pods=[strange])
    assert look(kubectl, ClusterSettings()).gpus == 0
