"""The doctor's verdicts over a table of machines (tests/data/machines/cases.yaml)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from devenv.compat.matrix import read
from devenv.container import gpu
from devenv.doctor.alternatives import instead
from devenv.doctor.examine import examine, image_bytes, locked_cuda, needs
from devenv.doctor.finding import Needs, blockers, refuse
from devenv.doors.dirs import presets_dir
from devenv.doors.machine.model import Machine, from_json, to_json
from devenv.errors import MachineError
from devenv.lock.model import read as read_lock
from devenv.preset.load import find, load
from tests.unit import examples

FOLDER = Path(__file__).parents[2] / "data" / "machines"
CASES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "cases.yaml").read_text())
GIB = 1024**3
# name: (what the driver calls it, memory in MiB as nvidia-smi shows it, compute capability)
CATALOGUE = {
    "K80": ("Tesla K80", 11441, "3.7"), "P100": ("Tesla P100-PCIE-16GB", 16384, "6.0"),
    "V100": ("Tesla V100-SXM2-16GB", 16384, "7.0"), "T4": ("Tesla T4", 15360, "7.5"),
    "A100-40": ("NVIDIA A100-SXM4-40GB", 40960, "8.0"), "A100-80": ("NVIDIA A100-SXM4-80GB", 81920, "8.0"),
    "A10G": ("NVIDIA A10G", 23028, "8.6"), "RTX3060": ("NVIDIA GeForce RTX 3060", 12288, "8.6"),
    "L4": ("NVIDIA L4", 23034, "8.9"), "L40S": ("NVIDIA L40S", 46068, "8.9"),
    "RTX4090": ("NVIDIA GeForce RTX 4090", 24564, "8.9"), "H100": ("NVIDIA H100 80GB HBM3", 81559, "9.0"),
    "H200": ("NVIDIA H200", 143771, "9.0"), "B200": ("NVIDIA B200", 183359, "10.0"),
    "RTX5090": ("NVIDIA GeForce RTX 5090", 32607, "12.0"), "GB10": ("NVIDIA GB10", 0, "12.1"),
    "Next": ("NVIDIA Next", 300000, "14.0"),
}  # fmt: skip


def _gpu(index: int, kind: str) -> dict[str, Any]:
    base, _, parts = kind.partition("-mig")
    name, memory, capability = CATALOGUE["A100-40" if parts else base]
    mig = [
        {"uuid": f"MIG-{index}{n}000000", "memory_bytes": 5 * GIB, "caps": [f"/dev/nvidia-caps/nvidia-cap{n + 3}"]}
        for n in range(int(parts or 0))
    ]
    return {
        "index": index, "uuid": f"GPU-{index}0000000-0000", "name": name, "memory_bytes": memory * 1024**2,
        "capability": capability, "minor": index, "mig": mig, "mig_mode": bool(parts),
    }  # fmt: skip


def healthy(case: dict[str, Any]) -> Machine:
    """A machine on which everything works, with the case's changes."""
    if "recorded" in case:
        return from_json(json.loads((FOLDER / f"{case['recorded']}.json").read_text()))
    gpus = [_gpu(index, kind) for index, kind in enumerate(case.get("gpus", ()))]
    paths = ["/dev/nvidiactl", "/dev/nvidia-uvm", *(f"/dev/nvidia{one['minor']}" for one in gpus)] if gpus else []
    names = ("libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1")
    libraries = [{"source": f"/usr/lib64/{name}.{case.get('driver')}", "names": [name]} for name in names]
    images = int(case.get("disk_gb", 500) * 1e9)
    disk = {"path": "/var/lib/docker", "free_bytes": images, "total_bytes": 10**12, "device": 1}
    own = {"path": "/home", "free_bytes": int(case.get("store_gb", 0) * 1e9), "total_bytes": 10**12, "device": 2}
    memory = int(case.get("memory_gb", 64) * 1e9)
    engine = {
        "address": "unix:///var/run/docker.sock", "version": "28.3.0", "storage": "overlay2", "backing": "extfs",
        "root": "/var/lib/docker", "cgroup_version": "2", "buildx": "0.25", "runtimes": ["runc"],
        "cdi_folders": ["/etc/cdi", "/var/run/cdi"], **case.get("engine", {}),
    }  # fmt: skip
    return from_json({
        "memory_bytes": memory, "available_bytes": memory, "engine": engine, "images_disk": disk,
        "weights_disk": disk, "store_disk": own if "store_gb" in case else disk,
        "nvidia": {
            "driver": case.get("driver", ""), "gpus": gpus, "nodes": [{"path": one} for one in paths],
            "libraries": libraries if gpus else [], "hook": bool(gpus), **case.get("nvidia", {}),
        },
        "network": case.get("network"), **case.get("machine", {}),
    })  # fmt: skip


def _preset(case: dict[str, Any]) -> Any:
    if isinstance(case["preset"], str):  # a shipped one
        return load(find(case["preset"], Path("/"))).preset
    keys = dict(case["preset"])
    if "gpu" in keys:
        keys["gpu"] = dict(keys["gpu"])
    return examples.preset(**{**keys, "pip": tuple(keys.get("pip", ()))})


@pytest.mark.parametrize("case", CASES, ids=[one["name"] for one in CASES])
def test_verdict(case: dict[str, Any]) -> None:
    machine, ask, force = healthy(case), case.get("ask"), case.get("force", "auto")
    wanted = {**case.get("needs", {})}
    given = Needs(**{**wanted, "kinds": frozenset(wanted.get("kinds", ()))})
    findings = examine(machine, _preset(case), given, read(), gpus=ask, mode=force)
    by_level = {level: [one.id for one in findings if one.level == level] for level in ("blocker", "warning")}
    assert sorted(by_level["blocker"]) == sorted(case.get("blockers", [])), findings
    assert sorted(by_level["warning"]) == sorted(case.get("warnings", [])), findings
    bad = [one for one in findings if one.level != "ok"]
    assert all(one.remedy for one in bad), "every finding that is not ok says what helps"
    assert not case.get("says") or any(case["says"] in one.what for one in bad), bad
    assert not case.get("remedy") or any(case["remedy"] in one.remedy for one in bad), bad
    if "mode" in case:
        assert gpu.access(machine, ask or "all", force).mode == case["mode"]
    if "instead" in case:
        other = instead(load(find(case["preset"], Path("/"))), machine, read(), lambda _: Needs(), gpus=ask, mode=force)
        assert (other.name if other else None) == case["instead"]


def test_the_table_is_large_and_names_each_case_once() -> None:
    assert len(CASES) >= 60
    assert len({one["name"] for one in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES[:5], ids=[one["name"] for one in CASES[:5]])
def test_a_machine_goes_to_json_and_back(case: dict[str, Any]) -> None:
    machine = healthy(case)
    assert from_json(json.loads(json.dumps(to_json(machine)))) == machine


def test_every_blocker_is_in_the_refusal() -> None:
    case = next(one for one in CASES if one["name"] == "three wanted of two H100")
    findings = examine(healthy(case), _preset(case), Needs(), read())
    with pytest.raises(MachineError) as raised:
        refuse(findings, name="demo")
    assert raised.value.exit_code == 13
    told = f"{raised.value.message}\n{raised.value.detail}"
    assert all(one.what in told for one in blockers(findings))


def test_a_quick_look_asks_less_but_refuses_the_same_gpu() -> None:
    case = next(one for one in CASES if one["name"] == "cu130 on 570")
    findings = examine(healthy(case), _preset(case), Needs(), read(), full=False)
    assert [one.id for one in blockers(findings)] == ["gpu.cuda"]
    assert not {"user", "engine.buildx"} & {one.id for one in findings}


@pytest.mark.parametrize(("name", "size"), [("python", 966e6), ("rapidocr", 1330e6)])
def test_the_image_is_estimated_within_a_sixth_of_what_it_was_built_to(name: str, size: float) -> None:
    locked = read_lock(presets_dir() / name / "devenv.lock")
    assert image_bytes(locked) == pytest.approx(size, rel=1 / 6)


def test_what_a_lock_needs() -> None:
    cuda = examples.wheel("nvidia-cuda-runtime-cu12", "12.8.90")
    locked = examples.lock(wheels=(cuda, examples.wheel("pillow")))
    found = needs(locked, locked.artifacts(), image_here=False, weights_bytes=7)
    assert found.cuda == "12.8"
    assert found.download_bytes == sum(one.size for one in locked.artifacts())
    assert found.kinds == {"deb", "wheel", "tarball", "weights"}
    assert found.weights_bytes == 7
    here = needs(locked, locked.artifacts(), image_here=True)
    assert (here.download_bytes, here.image_bytes, here.kinds, here.cuda) == (0, 0, frozenset(), "12.8")
    assert locked_cuda(examples.lock(wheels=(examples.wheel("nvidia-cuda-runtime", "13.0.96"),))) == "13.0"
    assert locked_cuda(examples.lock()) == ""
