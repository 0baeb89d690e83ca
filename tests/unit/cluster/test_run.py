"""A command in pods of its own."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.cluster import run
from devenv.doors.terminal.progress import Silent
from devenv.errors import NotReadyError, TargetError
from devenv.plan.plan import Plan, plan
from devenv.render.kubernetes.words import RUN, Wanted
from tests.unit.cluster.fake import FakeKubectl
from tests.unit.cluster.test_up import CLASS
from tests.unit.examples import loaded, lock

WANTED = Wanted(name="demo", image="x", role=RUN, command=("true",), job="devenv-demo-run-1")


def _plan() -> Plan:
    return plan(loaded(), lock())


def _pod(number: int, state: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "kind": "Pod", "spec": {},
        "metadata": {"name": f"p{number}", "labels": {"job-name": WANTED.job}, "annotations": {run.INDEX: str(number)}},
        "status": {"containerStatuses": [{"name": "environment", "state": state}], **status},
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_EVERY_S", 0.01)


def test_variables_come_by_a_secret_that_goes_with_the_job() -> None:
    kubectl: Any = FakeKubectl(CLASS)
    own = run.begin(_plan(), WANTED, {"KEY": "hidden"}, kubectl)
    assert sorted(one["kind"] for one in own) == ["Job", "NetworkPolicy", "Secret"]
    job = kubectl.objects["Job", WANTED.job]
    assert "hidden" not in str(job)
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": WANTED.job}}]
    run.objects.remove(kubectl, own)
    assert {kind for kind, _ in kubectl.objects} == {"StorageClass", "PersistentVolumeClaim"}


def test_what_is_there_is_used_and_what_others_made_is_not() -> None:
    kubectl: Any = FakeKubectl(CLASS)
    run.begin(_plan(), WANTED, {}, kubectl)
    claim = kubectl.objects["PersistentVolumeClaim", "devenv-demo-data"]
    kubectl.requests.clear()
    run.begin(_plan(), WANTED, {}, kubectl)
    assert kubectl.objects["PersistentVolumeClaim", "devenv-demo-data"] is claim
    claim["metadata"]["labels"] = {}
    with pytest.raises(TargetError, match="devenv did not make it"):
        run.begin(_plan(), WANTED, {}, kubectl)


@pytest.mark.parametrize(("codes", "result"), [((0, 0, 0), 0), ((0, 3, 4), 3)])
def test_the_first_status_that_is_not_0(codes: tuple[int, ...], result: int) -> None:
    kubectl: Any = FakeKubectl(*(_pod(number, {"terminated": {"exitCode": code}}) for number, code in enumerate(codes)))
    shown: list[tuple[str, str]] = []
    several = Wanted(name="demo", image="x", role=RUN, parallel=3, job=WANTED.job)
    assert run.follow(several, kubectl, Silent(), lambda *said: shown.append(said)) == result
    assert shown == [("p0", "0: "), ("p1", "1: "), ("p2", "2: ")]


def test_a_pod_without_a_status_of_its_own_failed() -> None:
    kubectl: Any = FakeKubectl(_pod(0, {"running": {}}))

    def show(*_: str) -> None:
        kubectl.objects.clear()

    assert run.follow(WANTED, kubectl, Silent(), show) == 1


def test_a_pod_that_cannot_begin_is_an_error_with_its_words() -> None:
    kubectl: Any = FakeKubectl(_pod(0, {"waiting": {"reason": "ErrImagePull", "message": "not found"}}))
    with pytest.raises(NotReadyError, match="cannot pull the image"):
        run.follow(WANTED, kubectl, Silent(), lambda *_: None)
