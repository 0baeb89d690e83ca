"""The doctor and the first step of `up`, on this machine and its engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Cli, docker

pytestmark = pytest.mark.engine

PRESET = """\
name: {name}
extends: python
code_server: null
jupyter: null
smoke: {{kernel: null}}
"""


def _preset(folder: Path, name: str, more: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(PRESET.format(name=name) + more)
    return path


def test_this_machine_can_run_a_shipped_preset(cli: Cli) -> None:
    done = cli("doctor", "python", "--offline", "--json")
    told = done.json()
    assert (told["preset"], told["able"]) == ("python", True)
    assert all(one["remedy"] for one in told["findings"] if one["level"] != "ok")
    machine = told["machine"]
    assert machine["engine"]["version"]
    assert machine["images_disk"]["free_bytes"] > 0
    assert machine["memory_bytes"] > 0
    assert machine["network"] is None


def test_what_it_records_can_be_judged_elsewhere(cli: Cli, tmp_path: Path) -> None:
    told = cli.ok("doctor", "--offline", "--json").out
    (tmp_path / "there.json").write_text(told)
    again = cli("doctor", "--machine", str(tmp_path / "there.json"), "--json").json()
    assert again["machine"] == json.loads(told)["machine"]
    (tmp_path / "there.json").write_text('{"machine": {"memory_bytes": "much"}}')
    assert cli("doctor", "--machine", str(tmp_path / "there.json")).code == 2


def test_no_engine_is_a_finding_not_a_crash(cli: Cli) -> None:
    done = cli("doctor", "python", "--offline", "--json", env={"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert done.code == 13
    assert "engine.present" in [one["id"] for one in json.loads(done.out)["findings"] if one["level"] == "blocker"]


def test_the_network_that_no_one_answers_on_is_said(cli: Cli) -> None:
    # A port of this machine that nothing listens on, and an address that is kept for documentation.
    away = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "NPM_CONFIG_REGISTRY": "http://192.0.2.1/"}
    done = cli("doctor", "python", "--json", env=away)
    told = json.loads(done.out)
    assert {one["name"] for one in told["machine"]["network"]["probes"] if one["problem"]} >= {"pip", "npm"}


def test_a_gpu_that_is_not_here_stops_up_before_anything_is_made(cli: Cli, tmp_path: Path) -> None:
    path = _preset(tmp_path, "t-needs-gpu", "gpu: {memory: 16g}\n")
    done = cli("up", str(path))
    assert done.code == 13
    assert "cannot run 't-needs-gpu': this machine has no GPU" in done.err
    assert "hint: use a machine with an NVIDIA GPU" in done.err
    assert not path.with_suffix(".lock").exists()
    assert docker("ps", "-aq", "--filter", "name=devenv-t-needs-gpu") == ""
    asked = cli("up", "python", "--name", "t-asks", "--gpus", "all")
    assert (asked.code, "this machine has no GPU" in asked.err) == (13, True)
    assert docker("ps", "-aq", "--filter", "name=devenv-t-asks") == ""


# A machine with a GPU whose driver is another library under its name: it is there, and cannot compute. Device nodes that
# every machine has stand for the driver's.
STAND_IN = """
import dataclasses, sys
from devenv import cli
from devenv.container import gpu
from devenv.doors.machine import nvidia
from devenv.doors.machine.model import Gpu, Library, Node, Nvidia

library = sys.argv.pop(1)
names = ("libcuda.so", "libnvidia-ml.so", "libnvidia-ptxjitcompiler.so")
found = Nvidia(
    driver="580.1",
    gpus=(Gpu(index=0, uuid="GPU-stand-in", name="Stand-in", memory_bytes=1 << 34, capability="9.0", minor=0),),
    nodes=tuple(Node(path=one) for one in ("/dev/full", "/dev/zero", "/dev/nvidia0")),
    libraries=tuple(Library(source=library, names=(name, f"{name}.1")) for name in names),
)
directly = gpu._directly

def without_the_gpus_own_node(*arguments):
    given = directly(*arguments)
    return dataclasses.replace(given, nodes=tuple(one for one in given.nodes if one != "/dev/nvidia0"))

nvidia.look = lambda *_, **__: found
gpu._CONTROL = ("/dev/full", "/dev/zero")
gpu._directly = without_the_gpus_own_node
sys.exit(cli.run(sys.argv[1:]))
"""


def test_a_container_that_cannot_compute_on_its_gpu_is_an_error(cli: Cli, tmp_path: Path) -> None:
    real = next(Path("/").glob("usr/lib/*-linux-gnu/libz.so.1")).resolve()
    library = tmp_path / "libcuda.so.580.1"
    shutil.copy(real, library)
    path = _preset(tmp_path, "t-gpu", "gpu: {}\n")
    command = [sys.executable, "-c", STAND_IN, str(library), "up", str(path), "--json"]
    done = subprocess.run(command, env=cli.env, capture_output=True, text=True, check=False)
    assert done.returncode == 13, done.stderr
    assert "the container got its GPU with mode 'direct', but cannot compute on it" in done.stderr
    assert "cuInit" in done.stderr
    # What it was given is there, for everyone and under any environment.
    load = "import ctypes; print(ctypes.CDLL('libcuda.so.1').zlibCompileFlags() > 0)"
    look = f'stat -c %t:%T /dev/full; env -i /usr/bin/python3 -c "{load}"; devenv-exec sudo -n python3 -c "{load}"'
    assert docker("exec", "devenv-t-gpu", "sh", "-c", look).split()[:2] == ["1:7", "True"]
    inspected = json.loads(docker("inspect", "devenv-t-gpu"))[0]
    mounts = [one for one in inspected["Mounts"] if "libcuda" in one["Destination"]]
    assert len(mounts) == 2
    assert not any(one["RW"] for one in mounts)
    shown = cli("status", "t-gpu", "--json").json()
    assert [(one["name"], one["mode"], one["memory_used_bytes"]) for one in shown["gpus"]] == [
        ("Stand-in", "direct", None)
    ]
    # Nothing is remembered of it as good: once more is as bad.
    again = subprocess.run(command, env=cli.env, capture_output=True, text=True, check=False)
    assert again.returncode == 13
