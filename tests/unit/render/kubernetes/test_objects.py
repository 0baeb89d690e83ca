"""The objects of a cluster: valid for its API, allowed where Pod Security is `restricted`, and what the plan says."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate
import pytest
import yaml

from devenv.doors.settings.clusters import ClusterSettings
from devenv.errors import UsageError
from devenv.plan.plan import Plan, plan
from devenv.render.kubernetes.files import render_kubernetes
from devenv.render.kubernetes.objects import objects, token_secret
from devenv.render.kubernetes.words import RUN, Wanted, replicas_of
from tests.unit.examples import loaded, lock

SERVICES = {"api": {"command": ("api",), "port": 8600, "listen": "127.0.0.1:8601", "role": "both", "timeout_s": 300}}
WANTED = Wanted(name="demo", image="registry.example/demo@sha256:" + "1" * 64)
ALL = (
    WANTED,
    dataclasses.replace(WANTED, role="serve", replicas=2),
    dataclasses.replace(WANTED, role="serve", autoscale=(1, 3)),
    dataclasses.replace(WANTED, role=RUN, command=("true",)),
    dataclasses.replace(WANTED, role=RUN, command=("true",), parallel=4),
    dataclasses.replace(
        WANTED,
        settings=ClusterSettings(
            uid=None, pull_secret="login", storage_class="fast", memory_limit="2Gi", runtime_class="nvidia",
            node_selector=(("a.b/c", "d"),), tolerations=((("key", "gpu"), ("operator", "Exists")),),
        ),
    ),
)  # fmt: skip


def _plan(**changes: Any) -> Plan:
    return plan(loaded(services=SERVICES, **changes), lock())


def _kinds(found: tuple[dict[str, Any], ...]) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in found}


def _pods(found: tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    for one in found:
        if template := one["spec"].get("template"):
            yield template["spec"]


def _containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("wanted", ALL)
def test_the_api_takes_every_object(wanted: Wanted) -> None:
    found = objects(_plan(gpu={"required": True}, volumes={"extra": "/extra"}), wanted)
    for one in (*found, token_secret(wanted, "secret")):
        kubernetes_validate.validate(one, "1.36", strict=True)


@pytest.mark.parametrize("wanted", ALL)
def test_pod_security_restricted_allows_every_pod(wanted: Wanted) -> None:
    """The rules of the profile, as the Pod Security Standards list them."""
    for pod in _pods(objects(_plan(gpu={"required": True}), wanted)):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"].get("runAsUser") != 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all({*volume} - {"name"} <= {"emptyDir", "secret", "persistentVolumeClaim"} for volume in pod["volumes"])
        for container in _containers(pod):
            limits = container["securityContext"]
            assert limits["allowPrivilegeEscalation"] is False
            assert limits["capabilities"] == {"drop": ["ALL"]}
            assert not {"privileged", "procMount", "runAsUser"} & limits.keys()
            assert not any("hostPort" in port for port in container.get("ports", []))


@pytest.mark.parametrize("wanted", ALL)
def test_a_pod_gets_no_account_and_no_addresses_of_others(wanted: Wanted) -> None:
    for pod in _pods(objects(_plan(), wanted)):
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        memory = [one["emptyDir"] for one in pod["volumes"] if one.get("emptyDir", {}).get("medium") == "Memory"]
        assert len(memory) == 2
        assert all(int(one["sizeLimit"]) > 0 for one in memory)


@pytest.mark.parametrize("wanted", ALL)
def test_every_mount_is_of_a_volume_and_labels_are_short(wanted: Wanted) -> None:
    for one in objects(_plan(volumes={"extra": "/extra"}), wanted):
        assert all(len(value) <= 63 for value in one["metadata"]["labels"].values())
        assert "namespace" not in one["metadata"], "who applies it chooses that"
        for pod in _pods((one,)):
            names = [volume["name"] for volume in pod["volumes"]]
            assert len(names) == len(set(names))
            for container in _containers(pod):
                assert {mount["name"] for mount in container["volumeMounts"]} <= set(names)


def test_a_workbench_is_alone_with_its_volumes_and_nobody_reaches_it() -> None:
    kinds = _kinds(objects(_plan(), WANTED))
    assert kinds["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert kinds["Deployment"]["spec"]["replicas"] == 1
    policy = kinds["NetworkPolicy"]["spec"]
    pod = kinds["Deployment"]["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress"]
    assert "ingress" not in policy
    assert "Service" not in kinds
    container = pod["spec"]["containers"][0]
    assert "livenessProbe" not in container, "a restart would end people's work"
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] >= 300
    secret = next(one["secret"] for one in pod["spec"]["volumes"] if "secret" in one)
    assert secret == {"secretName": "devenv-demo-token", "defaultMode": 0o440}


def test_a_model_is_served_by_pods_that_are_replaced_one_by_one() -> None:
    kinds = _kinds(objects(_plan(), dataclasses.replace(WANTED, role="serve", replicas=2)))
    spec = kinds["Deployment"]["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    service = kinds["Service"]["spec"]
    assert service["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    assert service["ports"] == [{"name": "api", "port": 8600, "targetPort": 8600, "protocol": "TCP"}]
    container = spec["template"]["spec"]["containers"][0]
    env = {one["name"]: one["value"] for one in container["env"]}
    assert (env["DEVENV_ROLE"], env["DEVENV_PEERS"], env["DEVENV_HOSTS"]) == ("serve", "any", "any")
    grace, drain = spec["template"]["spec"]["terminationGracePeriodSeconds"], container["lifecycle"]["preStop"]
    assert grace > sum(int(word) for word in drain["exec"]["command"][1:]), "what is asked already is answered"
    assert "PersistentVolumeClaim" not in kinds, "replicas share nothing that they write"


def test_an_autoscaler_alone_says_how_many() -> None:
    kinds = _kinds(objects(_plan(), dataclasses.replace(WANTED, role="serve", autoscale=(1, 3))))
    assert "replicas" not in kinds["Deployment"]["spec"], "to apply it again would undo what the autoscaler did"
    scaler = kinds["HorizontalPodAutoscaler"]
    assert scaler["apiVersion"] == "autoscaling/v1"
    assert scaler["spec"]["scaleTargetRef"]["name"] == kinds["Deployment"]["metadata"]["name"]


def test_a_command_runs_in_as_many_pods_as_asked_for() -> None:
    wanted = dataclasses.replace(WANTED, role=RUN, command=("ocr", "batch"), parallel=4)
    job = _kinds(objects(_plan(), wanted))["Job"]["spec"]
    assert (job["completions"], job["parallelism"], job["completionMode"]) == (4, 4, "Indexed")
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")
    container = job["template"]["spec"]["containers"][0]
    assert container["args"] == ["ocr", "batch"]
    assert not {"command", "startupProbe"} & container.keys(), "the image's own first process runs it"
    single = _kinds(objects(_plan(), dataclasses.replace(wanted, parallel=1)))["Job"]["spec"]
    assert "completionMode" not in single


def test_a_uid_that_the_cluster_chooses_gets_a_name() -> None:
    settings = ClusterSettings(uid=None)
    pod = next(_pods(objects(_plan(), dataclasses.replace(WANTED, settings=settings))))
    assert not {"runAsUser", "fsGroup"} & pod["securityContext"].keys()
    passwd = next(one for one in pod["containers"][0]["volumeMounts"] if one["mountPath"] == "/etc/passwd")
    assert (passwd["subPath"], passwd["readOnly"]) == ("passwd", True)
    first = pod["initContainers"][0]
    assert first["command"] == ["/usr/local/lib/devenv/fill"]
    assert {"name": passwd["name"], "mountPath": "/fill/etc"} in first["volumeMounts"]
    usual = next(_pods(objects(_plan(), WANTED)))
    assert "initContainers" not in usual, "nothing to fill"


def test_a_gpu_is_a_resource_where_the_preset_has_one() -> None:
    settings = ClusterSettings(gpu="amd.example/gpu", gpus=2)
    pod = next(_pods(objects(_plan(gpu={"required": True}), dataclasses.replace(WANTED, settings=settings))))
    resources = pod["containers"][0]["resources"]
    assert resources["limits"] == {"amd.example/gpu": "2"}
    assert resources["requests"]["amd.example/gpu"] == "2"
    without = next(_pods(objects(_plan(), dataclasses.replace(WANTED, settings=settings))))
    assert "limits" not in without["containers"][0]["resources"]


def test_later_commands_find_services_and_checks_in_annotations() -> None:
    notes = _kinds(objects(_plan(), WANTED))["Deployment"]["metadata"]["annotations"]
    assert notes["dev.devenv/preset"] == "demo"
    assert "api" in {one["name"] for one in json.loads(notes["dev.devenv/services"])}
    assert notes["dev.devenv/format"] == "1"


def test_files_hold_no_token_and_say_how_to_make_one() -> None:
    rendered = render_kubernetes(_plan(), WANTED)
    (name, data), *others = rendered.files.items()
    assert (name, others) == ("kubernetes/workbench.yaml", [])
    assert b"kubectl create secret generic devenv-demo-token" in data
    documents = [one for one in yaml.safe_load_all(data) if one]
    assert documents == [*objects(_plan(), WANTED)]
    assert "Secret" not in {one["kind"] for one in documents}
    assert base64.b64decode(token_secret(WANTED, "abc")["data"]["token"]) == b"abc"


def test_what_no_cluster_takes() -> None:
    for wrong in (
        dataclasses.replace(WANTED, name="Demo"), dataclasses.replace(WANTED, name="-x"),
        dataclasses.replace(WANTED, role=RUN, parallel=0), dataclasses.replace(WANTED, replicas=-1),
        dataclasses.replace(WANTED, role="serve", autoscale=(3, 1)),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            objects(_plan(), wrong)
    for text in ("3", "a-b", "1-", "-"):
        with pytest.raises(UsageError):
            replicas_of(text)
    assert replicas_of("1-4") == (1, 4)
