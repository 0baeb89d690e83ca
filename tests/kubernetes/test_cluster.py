"""Environments on three nodes: up, moved, replaced, many of them, and a cluster that goes away meanwhile."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import get
from tests.integration.hub import COMMIT, ID, Hub
from tests.kubernetes.conftest import BENCH, HOME, Cluster
from tests.waiting import until


def _pod(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    found = cluster.objects("pod", "-n", namespace, "-l", f"app.kubernetes.io/instance={name}")
    (alive,) = [one for one in found if "deletionTimestamp" not in one["metadata"]]
    return alive


def _answers(url: str) -> bool:
    try:
        return get(url)[0] in (200, 302)
    except OSError:
        return False


def test_a_workbench_comes_up_and_all_commands_work(cluster: Cluster, namespace: str) -> None:
    on = ("--on", f"k8s:bench/{namespace}")
    told = cluster.ok("up", "rapidocr", "--name", "bench", "--json", *on).json()
    assert told["smoke"]["passed"]
    assert {name: _answers(url) for name, url in told["urls"].items()} == {"ide": True, "jupyter": True}
    assert get(told["urls"]["ide"].partition("?")[0])[0] == 401
    again = cluster.ok("up", "rapidocr", "--name", "bench", "--json", *on).json()
    assert (again["untouched"], again["pod"], again["urls"]) == (True, told["pod"], told["urls"])
    (listed,) = cluster.ok("ps", "--json", *on).json()
    assert (listed["name"], listed["pod"]) == ("bench", told["pod"])
    assert cluster.ok("status", "--json", *on).json()["services"] == {"ide": "ready", "jupyter": "ready"}
    assert cluster.ok("exec", *on, "--", "sh", "-c", "whoami; id -u; pwd").out.split() == ["dev", "1000", "/workspace"]
    assert cluster.devenv("exec", *on, "--", "sh", "-c", "exit 7").code == 7
    assert "jupyter: " in cluster.ok("logs", *on).out
    assert "ServerApp" in cluster.ok("logs", "bench", "jupyter", *on).out
    assert cluster.ok("smoke", "--json", *on).json()["passed"]
    cluster.ok("exec", *on, "--", "sh", "-c", "echo kept > /workspace/kept")
    cluster.ok("stop", *on)
    until(lambda: not cluster.objects("pod", "-n", namespace))
    cluster.ok("start", *on)
    assert cluster.ok("exec", *on, "--", "cat", "kept").out == "kept\n"
    until(lambda: _answers(told["urls"]["jupyter"]))
    cluster.ok("down", *on)
    left = cluster.objects(
        "deployment,service,networkpolicy,secret,pvc", "-n", namespace, "-l", "app.kubernetes.io/name=devenv"
    )
    assert sorted({one["kind"] for one in left}) == ["PersistentVolumeClaim", "Secret"]


def test_a_uid_of_the_clusters_own_and_a_read_only_root(cluster: Cluster, namespace: str) -> None:
    """As OpenShift does it: the namespace's uid, group 0; here the admission that would set it is this test."""
    cluster.settings(uid=1000650000)
    told = cluster.ok("up", "python", "--json", "--on", f"k8s:bench/{namespace}").json()
    assert told["smoke"]["passed"]
    assert cluster.ok("exec", "--on", f"k8s:bench/{namespace}", "--", "id", "-un").out == "dev\n"


def test_a_pod_moves_with_its_data_when_its_node_is_lost(cluster: Cluster, namespace: str) -> None:
    on = ("--on", f"k8s:bench/{namespace}")
    told = cluster.ok("up", "python", "--name", "moves", "--json", *on).json()
    cluster.ok("exec", *on, "--", "sh", "-c", "echo kept > /workspace/kept; echo data > /mnt/moves/data; sync")
    node = _pod(cluster, namespace, "moves")["spec"]["nodeName"]
    cluster.bench("lose", node)
    try:
        until(lambda: _moved(cluster, namespace, "moves", node))
        again = cluster.ok("up", "python", "--name", "moves", "--json", *on).json()
        assert again["smoke"]["passed"]
        assert again["pod"] != told["pod"]
        assert cluster.ok("exec", *on, "--", "cat", "/workspace/kept", "/mnt/moves/data").out == "kept\ndata\n"
        until(lambda: _answers(told["urls"]["jupyter"]))
    finally:
        cluster.bench("up", "3")


def _moved(cluster: Cluster, namespace: str, name: str, node: str) -> bool:
    found = cluster.objects("pod", "-n", namespace, "-l", f"app.kubernetes.io/instance={name}")
    return any(
        one["spec"].get("nodeName") not in (None, node) and "deletionTimestamp" not in one["metadata"] for one in found
    )


LOAD = """
import http.client, json, sys, threading, time
host, token, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
end, told, guard = time.monotonic() + seconds, {"requests": 0, "failed": []}, threading.Lock()
def ask():
    while time.monotonic() < end:
        link = http.client.HTTPConnection(host, 8600, timeout=30)
        try:
            link.request("GET", "/v1/models", headers={"Authorization": "Bearer " + token})
            status = link.getresponse().status
            wrong = "" if status == 200 else str(status)
        except OSError as error:
            wrong = repr(error)
        except http.client.HTTPException as error:
            wrong = repr(error)
        link.close()
        with guard:
            told["requests"] += 1
            told["failed"] += [wrong] * bool(wrong)
        time.sleep(0.02)
threads = [threading.Thread(target=ask) for _ in range(4)]
[one.start() for one in threads]
[one.join() for one in threads]
print(json.dumps(told))
"""


def test_a_served_model_is_replaced_without_a_failed_request(cluster: Cluster, namespace: str) -> None:
    on = ("--on", f"k8s:bench/{namespace}")
    cluster.ok("up", "rapidocr", "--name", "model", "--role", "serve", *on)
    token = (next((cluster.folder / "state").rglob("model/host/token"))).read_text().strip()
    (service,) = cluster.objects("service", "-n", namespace, "-l", "app.kubernetes.io/instance=model")
    before = _pod(cluster, namespace, "model")["metadata"]["name"]
    cluster.ok("up", "python", "--name", "client", *on)
    load = subprocess.Popen(
        cluster.command("exec", "--name", "client", *on, "--", "python", "-c", LOAD, service["spec"]["clusterIP"], token, "75"),
        env=cluster.env, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    cluster.settings(cpu="60m")
    told = cluster.ok("up", "rapidocr", "--name", "model", "--role", "serve", "--json", *on).json()
    assert told["smoke"]["passed"]
    until(lambda: [one["metadata"]["name"] for one in cluster.objects(
        "pod", "-n", namespace, "-l", "app.kubernetes.io/instance=model")] != [before])  # fmt: skip
    until(lambda: len(cluster.objects("pod", "-n", namespace, "-l", "app.kubernetes.io/instance=model")) == 1)
    out, _ = load.communicate(timeout=300)
    result = json.loads(out.splitlines()[-1])
    print(result["requests"], "requests")
    assert _pod(cluster, namespace, "model")["metadata"]["name"] != before
    assert result["requests"] > 200
    assert result["failed"] == []


def test_thirty_environments_side_by_side(cluster: Cluster, namespace: str) -> None:
    on = ("--on", f"k8s:bench/{namespace}")
    cluster.settings(cpu="20m", memory="100Mi")
    names = [f"side-{number}" for number in range(30)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        told = [*pool.map(lambda name: cluster.ok("up", "python", "--name", name, "--json", *on).json(), names)]
    assert all(one["smoke"]["passed"] for one in told)
    ports = [url.split("/")[2] for one in told for url in one["urls"].values()]
    assert len(ports) == len(set(ports)), "no two have one port"
    assert len(cluster.ok("ps", "--json", *on).json()) == 30
    assert all(_answers(url) for one in told for url in one["urls"].values())
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert [*pool.map(lambda name: cluster.ok("down", "--volumes", name, *on).code, names)] == [0] * 30


@pytest.mark.parametrize("stage", ["apply", "boot", "ready"])
def test_up_goes_on_when_the_api_server_starts_again(cluster: Cluster, namespace: str, stage: str) -> None:
    command = cluster.command("up", "python", "--json-events", "--on", f"k8s:bench/{namespace}")
    with subprocess.Popen(
        command, env=cluster.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        assert running.stderr
        said: list[str] = []
        threading.Thread(target=lambda: said.extend(running.stderr or ()), daemon=True).start()
        lost = False
        last: dict[str, Any] = {}
        for line in running.stdout:
            last = json.loads(line)
            if not lost and last.get("stage") == stage:
                lost = True
                cluster.bench("lose", "apiserver")
                cluster.bench("up", "3")
        assert running.wait() == 0, "".join(said)
    assert lost
    assert last["event"] == "result"
    assert last["smoke"]["passed"]
    assert all(_answers(url) for url in last["urls"].values())


def test_a_gpu_is_asked_for_by_its_resource(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """The device plugin offers GPUs that are none: the pod gets one, and computing on it fails in one clear error."""
    on = ("--on", f"k8s:bench/{namespace}")
    (tmp_path / "devenv.yaml").write_text("extends: python\nname: t-gpu\ngpu: {required: true}\n")
    cluster.ok("lock", str(tmp_path))
    without = cluster.devenv("up", str(tmp_path), *on)
    assert without.code == 9
    assert "Insufficient nvidia.com/gpu" in without.err
    assert "'gpus'" in without.err
    plugin = subprocess.Popen(
        [sys.executable, BENCH / "fake_gpu.py", HOME / "run/nodes/n2", "2"], stdout=subprocess.PIPE
    )
    try:
        assert plugin.stdout
        assert plugin.stdout.readline() == b"registered\n"
        until(lambda: _pod(cluster, namespace, "t-gpu")["spec"].get("nodeName") == "n2")
        with_one = cluster.devenv("up", str(tmp_path), *on)
        assert with_one.code == 13, with_one.err
        assert "the pod got its GPU, but cannot compute on it" in with_one.err
        given = cluster.ok("exec", *on, "--", "printenv", "NVIDIA_VISIBLE_DEVICES").out
        assert given.startswith("GPU-fake-")
    finally:
        plugin.send_signal(signal.SIGTERM)
        plugin.communicate()
        cluster.devenv("down", "--volumes", "t-gpu", *on)


def test_a_command_runs_as_a_job(cluster: Cluster, namespace: str) -> None:
    on = ("--on", f"k8s:bench/{namespace}")
    done = cluster.devenv("run", "python", *on, "-e", "KEY=hidden", "--", "sh", "-c", 'echo "$KEY"; whoami; exit 5')
    assert (done.code, done.out.split()[-2:]) == (5, ["hidden", "dev"])
    assert not cluster.objects("job,secret,networkpolicy", "-n", namespace, "-l", "app.kubernetes.io/name=devenv")


def test_weights_come_once_for_a_namespace(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    on = ("--on", f"k8s:bench/{namespace}")
    files = {"config.json": b"{}", "sub/weights.bin": b"0123456789abcdef" * (1 << 20)}
    with Hub(files) as hub:
        cluster.env |= {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "DEVENV_WEIGHTS_DIR": str(tmp_path / "store"),
        }
        named = f"{{id: {ID}, revision: {COMMIT}}}"
        (tmp_path / "devenv.yaml").write_text(f"extends: python\nname: t-weights\nmodel: {{huggingface: {named}}}\n")
        cluster.ok("lock", str(tmp_path))
        told = cluster.ok("up", str(tmp_path), "--json", *on).json()
        assert told["smoke"]["passed"]
        show = 'cd "$DEVENV_MODEL" && sha256sum config.json sub/weights.bin && ! touch x'
        sums = cluster.ok("exec", *on, "--", "sh", "-c", show).out.split()[::2]
        assert sums == [hashlib.sha256(data).hexdigest() for data in files.values()]
        again = cluster.ok("up", str(tmp_path), "--json", *on).json()
        assert again["untouched"]
        assert {one["name"]: one["cached"] for one in again["stages"]}["send"]
        assert not [one for one in cluster.objects("pod", "-n", namespace) if "fill" in one["metadata"]["name"]]


def test_others_objects_and_missing_rights(cluster: Cluster, namespace: str) -> None:
    on = ("--on", f"k8s:bench/{namespace}")
    cluster.kubectl(
        "create", "secret", "generic", "devenv-python-token", "-n", namespace, "--from-literal=token=theirs"
    )
    theirs = cluster.devenv("up", "python", *on)
    assert theirs.code == 14
    assert "devenv did not make it" in theirs.err
    assert not cluster.objects("deployment,pvc", "-n", namespace)
    cluster.env["KUBECONFIG"] = str(HOME / "kubeconfig.dev")
    try:
        nothing = cluster.devenv("up", "python", "--name", "mine", *on)
        assert nothing.code == 14
        assert "you may not get pods" in nothing.err
    finally:
        cluster.env["KUBECONFIG"] = str(HOME / "kubeconfig")


def test_the_pods_own_words(cluster: Cluster, namespace: str) -> None:
    on = ("--on", f"k8s:bench/{namespace}")
    cluster.settings(cpu="64")
    assert "Insufficient cpu" in cluster.devenv("up", "python", "--name", "large", *on).err
    cluster.settings(storage_class="nope")
    assert "no storage class 'nope'" in cluster.devenv("up", "python", "--name", "stored", *on).err
    cluster.settings(node_selector={"gpu": "h100"})
    assert "'node_selector'" in cluster.devenv("up", "python", "--name", "picky", *on).err
    cluster.settings()
    cluster.kubectl("create", "quota", "few", "-n", namespace, "--hard=pods=0")
    until(lambda: "status" in cluster.objects("quota", "-n", namespace)[0])
    told = cluster.devenv("up", "python", "--name", "many", *on)
    assert (told.code, "exceeded quota: few" in told.err) == (14, True)
