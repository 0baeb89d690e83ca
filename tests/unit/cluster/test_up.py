"""`up` in a cluster that is a few objects in memory."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from devenv.cluster import forward, life, objects, up, wait
from devenv.container.state import Environment
from devenv.doors.settings.clusters import ClusterSettings
from devenv.doors.terminal.console import Console
from devenv.doors.terminal.stages import Stages
from devenv.errors import NotReadyError, TargetError
from devenv.plan.plan import Plan, plan
from devenv.render.kubernetes.words import Wanted
from tests.unit.cluster.fake import FakeKubectl, pod
from tests.unit.examples import loaded, lock

WANTED = Wanted(name="demo", image="registry.example/demo@sha256:1")
SERVICES = {"api": {"command": ("api",), "port": 8600, "listen": "127.0.0.1:8601", "role": "both"}}
SMOKE = {"works": {"run": ("true",)}}
CLASS = {
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """What this machine keeps; no port is forwarded."""
    monkeypatch.setattr(forward.streams, "background", lambda *_, **__: 1)
    monkeypatch.setattr(forward, "port_answers", lambda _: True)
    monkeypatch.setattr(forward, "port_is_free", lambda _: True)
    monkeypatch.setattr(wait, "_EVERY_S", 0.001)
    return Environment(name="demo", folder=tmp_path / "demo")


def _plan(**changes: Any) -> Plan:
    return plan(loaded(services=SERVICES, smoke=SMOKE, **changes), lock())


def _up(kubectl: FakeKubectl, environment: Environment, wanted: Wanted = WANTED) -> up.Result:
    with Stages(Console(quiet=True)) as stages:
        return up.up(_plan(), wanted, environment, kubectl, stages)  # type: ignore[arg-type]


def _verbs(kubectl: FakeKubectl) -> list[str]:
    return ["dry-run" if "--dry-run=server" in one else one[0] for one in kubectl.requests]


def test_it_is_judged_applied_waited_for_and_tried(environment: Environment) -> None:
    kubectl = FakeKubectl(CLASS)
    result = _up(kubectl, environment)
    verbs = _verbs(kubectl)
    assert verbs.index("dry-run") < verbs.index("apply"), "nothing is made that the cluster would refuse"
    assert result.report.passed
    assert not result.untouched
    assert result.urls["api"] == f"http://127.0.0.1:8600/?token={result.token}"
    secret = kubectl.objects["Secret", "devenv-demo-token"]
    assert base64.b64decode(secret["data"]["token"]).decode() == result.token == environment.token()
    assert any("devenv-exec" in command for command in kubectl.executed)


def test_again_changes_nothing_and_tries_nothing(environment: Environment) -> None:
    kubectl = FakeKubectl(CLASS)
    _up(kubectl, environment)
    kubectl.requests.clear()
    kubectl.executed.clear()
    result = _up(kubectl, environment)
    assert result.untouched
    assert not {"apply", "dry-run", "patch", "delete"} & {*_verbs(kubectl)}
    assert not any("devenv-exec" in command for command in kubectl.executed)


def test_the_token_of_the_cluster_is_taken_on_another_machine(environment: Environment, tmp_path: Path) -> None:
    kubectl = FakeKubectl(CLASS)
    first = _up(kubectl, environment)
    other = _up(kubectl, Environment(name="demo", folder=tmp_path / "other/demo"))
    assert other.token == first.token
    kubectl.objects["Secret", "devenv-demo-token"]["data"]["token"] = "!!"
    with pytest.raises(TargetError, match="no usable token"):
        _up(kubectl, environment)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("Deployment", "devenv-demo"), ("PersistentVolumeClaim", "devenv-demo-data"), ("Secret", "devenv-demo-token")],
)
def test_what_others_made_is_never_touched(environment: Environment, kind: str, name: str) -> None:
    theirs = {"kind": kind, "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "helm"}}}
    kubectl = FakeKubectl(CLASS, theirs)
    with pytest.raises(TargetError, match=rf"{name} exists.*devenv did not make it.*helm"):
        _up(kubectl, environment)
    assert kubectl.objects == {("StorageClass", "standard"): CLASS, (kind, name): theirs}
    life.down("demo", environment, kubectl, with_volumes=True, ports=False)  # type: ignore[arg-type]
    assert (kind, name) in kubectl.objects


def test_down_keeps_token_and_volumes_unless_asked(environment: Environment) -> None:
    kubectl = FakeKubectl(CLASS)
    _up(kubectl, environment)
    other = {**kubectl.objects["Deployment", "devenv-demo"]}
    other = {
        **other,
        "metadata": {"name": "devenv-x", "labels": {**other["metadata"]["labels"], "app.kubernetes.io/instance": "x"}},
    }
    kubectl.objects["Deployment", "devenv-x"] = other
    life.down("demo", environment, kubectl, with_volumes=False, ports=False)  # type: ignore[arg-type]
    kinds = {kind for kind, name in kubectl.objects if name.startswith("devenv-demo") and kind != "Pod"}
    assert kinds == {"Secret", "PersistentVolumeClaim"}
    life.down("demo", environment, kubectl, with_volumes=True, ports=False)  # type: ignore[arg-type]
    assert {key for key in kubectl.objects if key[0] not in ("Pod", "StorageClass")} == {("Deployment", "devenv-x")}
    assert not environment.folder.exists(), "a token that no Secret has"


def test_stop_and_up_again_with_the_same_objects(environment: Environment) -> None:
    kubectl = FakeKubectl(CLASS)
    _up(kubectl, environment)
    here = life.select(kubectl, None)  # type: ignore[arg-type]
    assert (here.name, here.state, here.ports) == ("demo", "running", (("ide", 8443), ("jupyter", 8888), ("api", 8600)))
    life.stop(here, environment, kubectl)  # type: ignore[arg-type]
    assert life.select(kubectl, "demo").state == "stopped"  # type: ignore[arg-type]
    assert not forward.is_alive(environment)
    assert not _up(kubectl, environment).untouched
    assert kubectl.objects["Deployment", "devenv-demo"]["spec"]["replicas"] == 1


def test_another_role_replaces_the_pods(environment: Environment) -> None:
    kubectl = FakeKubectl(CLASS)
    _up(kubectl, environment)
    _up(kubectl, environment, dataclasses.replace(WANTED, role="serve"))
    deployment = kubectl.objects["Deployment", "devenv-demo"]
    assert deployment["metadata"]["labels"]["app.kubernetes.io/component"] == "serve"
    assert "delete" in _verbs(kubectl)


def test_missing_rights_are_named_before_anything_is_made(environment: Environment) -> None:
    kubectl = FakeKubectl(CLASS)
    kubectl.denied = {"secrets"}
    with pytest.raises(TargetError, match="you may not patch secrets, get secrets in the namespace demo"):
        _up(kubectl, environment)
    assert _verbs(kubectl) == ["create"]


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        ('Error from server (Forbidden): error when creating "STDIN": pods "x" is forbidden: violates PodSecurity "restricted"',
         'pods "x" is forbidden: violates PodSecurity', "uid: cluster"),
        ('Error from server (Forbidden): pods "x" is forbidden: exceeded quota: q', "exceeded quota: q", "kubectl describe quota"),
        ('Error from server (NotFound): namespaces "nope" not found', 'namespaces "nope" not found', "get namespaces"),
        ("error: You must be logged in to the server (Unauthorized)", "You must be logged in", "log in to the cluster again"),
        ("Unable to connect to the server: x509: certificate has expired or is not yet valid: current time 2026-11-28",
         "not yet valid", "clock"),
        ("The connection to the server 10.0.0.1:6443 was refused - did you specify", "does not answer", "VPN"),
        ("Unable to connect to the server: dial tcp: i/o timeout", "does not answer", "VPN"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_clear_error(environment: Environment, words: str, message: str, remedy: str | None) -> None:
    kubectl = FakeKubectl(CLASS)
    kubectl.refuse = {"dry-run": words}
    with pytest.raises(TargetError) as caught:
        _up(kubectl, environment)
    assert message in caught.value.message
    assert (remedy or "") in (caught.value.hint or "")
    assert caught.value.where == "bench/demo"
    assert not [key for key in kubectl.objects if key[0] == "Deployment"], "nothing is half made"


def test_storage_that_is_not_there_is_told_before_anything_is_made(environment: Environment) -> None:
    kubectl = FakeKubectl()
    with pytest.raises(TargetError, match="no default storage class"):
        _up(kubectl, environment)
    kubectl = FakeKubectl(CLASS)
    wanted = dataclasses.replace(WANTED, settings=ClusterSettings(storage_class="nope"))
    with pytest.raises(TargetError, match="no storage class 'nope'") as caught:
        _up(kubectl, environment, wanted)
    assert "standard" in (caught.value.hint or "")
    assert objects.classes(FakeKubectl(CLASS)) == (("standard", True),)  # type: ignore[arg-type]


def test_a_pod_that_cannot_come_up_ends_it_with_its_log(environment: Environment) -> None:
    status = {"phase": "Running", "containerStatuses": [
        {"name": "environment", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}}]}  # fmt: skip
    kubectl = FakeKubectl(CLASS, made=lambda deployment: [pod(deployment, **status)])
    with pytest.raises(NotReadyError, match="ends again and again"):
        _up(kubectl, environment)
    assert any(one[0] == "logs" for one in kubectl.requests)


def test_services_that_do_not_answer_are_named(environment: Environment) -> None:
    kubectl = FakeKubectl(CLASS)

    def answer(command: list[str]) -> tuple[int, str, str]:
        return (1, "api: HTTP 502\n", "") if "--wait" in command else (0, "", "")

    kubectl.answer = answer
    with pytest.raises(NotReadyError, match="did not answer within") as caught:
        _up(kubectl, environment)
    assert caught.value.detail == "api: HTTP 502"


def test_a_failed_smoke_test_is_not_remembered_as_passed(environment: Environment) -> None:
    kubectl = FakeKubectl(CLASS)
    kubectl.answer = lambda command: (1, "", "no") if command[0] == "devenv-exec" else (0, "", "")
    assert not _up(kubectl, environment).report.passed
    kubectl.answer = lambda _: (0, "", "")
    again = _up(kubectl, environment)
    assert again.report.passed
    assert not again.untouched


def test_annotations_that_someone_broke_are_left_out(environment: Environment) -> None:
    kubectl = FakeKubectl(CLASS)
    _up(kubectl, environment)
    notes = kubectl.objects["Deployment", "devenv-demo"]["metadata"]["annotations"]
    notes |= {"dev.devenv/services": '[{"name": 3}]', "dev.devenv/smoke": "{"}
    here = life.select(kubectl, "demo")  # type: ignore[arg-type]
    assert (here.services, here.checks) == ((), ())
