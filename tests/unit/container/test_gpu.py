"""Which GPUs a container gets, and what it is given for them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from devenv.build.image import Image
from devenv.container import gpu
from devenv.container import labels as container_labels
from devenv.container import spec as container_spec
from devenv.container.state import environment
from devenv.doors.docker.values import DeviceRequest
from devenv.doors.machine.model import Cdi, Gpu, Machine, Mig, Nvidia, from_json
from devenv.errors import MachineError, UsageError
from devenv.plan.plan import plan
from tests.unit.examples import loaded, lock

RECORDED = Path(__file__).parents[2] / "data" / "machines"


def recorded(name: str, **changes: Any) -> Machine:
    machine = from_json(json.loads((RECORDED / f"{name}.json").read_text()))
    return dataclasses.replace(machine, nvidia=dataclasses.replace(machine.nvidia, **changes))


def test_direct_gives_nodes_libraries_and_programs_of_the_machine_that_was_recorded() -> None:
    given = gpu.access(recorded("h100-x2"), "1")
    assert (given.mode, given.asked) == ("direct", "1")
    assert given.nodes == ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia1")
    targets = {one.target: one.source for one in given.mounts}
    folder, driver = "/usr/lib/x86_64-linux-gnu", "580.159.04"
    assert targets[f"{folder}/libcuda.so.1"] == f"/usr/local/nvidia/lib64/libcuda.so.{driver}"
    assert targets["/usr/bin/nvidia-smi"] == "/usr/local/nvidia/bin/nvidia-smi"
    assert all(one.read_only and one.kind == "bind" for one in given.mounts)
    assert given.environment == (("DEVENV_GPU", "direct"),)
    assert not any("compat" in one for one in targets.values())


def test_the_runtimes_way_asks_the_engine_for_these_gpus_only() -> None:
    given = gpu.access(recorded("h100-x2", hook=True), "0")
    uuid = recorded("h100-x2").nvidia.gpus[0].uuid
    assert given.requests == (DeviceRequest(driver="nvidia", ids=(uuid,), capabilities=("gpu", "compute", "utility")),)
    assert (given.nodes, given.mounts, given.runtime) == ((), (), "")


def test_a_runtime_without_its_hook_is_told_by_variables() -> None:
    machine = recorded("h100-x1")
    assert machine.engine is not None
    machine = dataclasses.replace(machine, engine=dataclasses.replace(machine.engine, runtimes=("nvidia", "runc")))
    given = gpu.access(machine, "all")
    assert given.runtime == "nvidia"
    assert dict(given.environment)["NVIDIA_VISIBLE_DEVICES"] == machine.nvidia.gpus[0].uuid


def test_cdi_names() -> None:
    spec = Cdi(path="/etc/cdi/nvidia.yaml", devices=("0", "1", "all"))
    machine = recorded("h100-x2", cdi=(spec,))
    assert gpu.access(machine, "all", "cdi").requests[0].ids == ("nvidia.com/gpu=all",)
    assert gpu.access(machine, "1", "cdi").requests == (DeviceRequest(driver="cdi", ids=("nvidia.com/gpu=1",)),)
    with pytest.raises(MachineError, match="does not name GPU 1"):
        gpu.access(recorded("h100-x2", cdi=(Cdi(path="/x", devices=("0",)),)), "1", "cdi")


def test_a_part_of_a_gpu_brings_its_own_nodes() -> None:
    part = Mig(uuid="MIG-12345678", memory_bytes=1, caps=("/dev/nvidia-caps/nvidia-cap30",))
    machine = recorded("h100-x1")
    cut = dataclasses.replace(machine.nvidia.gpus[0], mig=(part,), mig_mode=True)
    given = gpu.access(recorded("h100-x1", gpus=(cut,)), "MIG-12345678")
    assert "/dev/nvidia-caps/nvidia-cap30" in given.nodes
    assert ("CUDA_VISIBLE_DEVICES", "MIG-12345678") in given.environment


def _two() -> Nvidia:
    def one(index: int, uuid: str) -> Gpu:
        return Gpu(index=index, uuid=uuid, name="X", memory_bytes=1, capability="9.0", minor=index)

    return Nvidia(gpus=(one(0, "GPU-aaaa1111-x"), one(1, "GPU-aaaa2222-x")))


@pytest.mark.parametrize(
    ("wanted", "indices"),
    [("all", [0, 1]), ("0", [0]), ("1,0", [1, 0]), ("0, 0", [0]), ("GPU-aaaa2222", [1]), ("gpu-AAAA1111-x", [0])],
)
def test_select(wanted: str, indices: list[int]) -> None:
    assert [one.index for one in gpu.select(_two(), wanted)] == indices


@pytest.mark.parametrize("wanted", ["2", "GPU-aaaa", "", "0,", "GPU-bbbb1111", "x"])
def test_select_refuses_what_is_not_one_gpu(wanted: str) -> None:
    with pytest.raises(UsageError, match="GPU"):
        gpu.select(_two(), wanted)


def test_access_goes_through_a_label_and_back() -> None:
    for machine in (recorded("h100-x2"), recorded("h100-x2", hook=True)):
        given = gpu.access(machine, "all")
        assert gpu.from_json(json.loads(json.dumps(gpu.to_json(given)))) == given


def _decide(tmp_path: Path, given: gpu.Access | None) -> Any:
    image = Image(reference="devenv/demo:1", id="sha256:1", cached=True)
    decided = plan(loaded(), lock())
    return container_spec.decide(
        decided, image, environment("demo", tmp_path), project=None, uid=1000, gid=1000, ports={}, gpu=given
    )


def test_a_container_spec_with_gpus_and_one_without(tmp_path: Path) -> None:
    given = gpu.access(recorded("h100-x2"), "1")
    spec, bare = _decide(tmp_path, given), _decide(tmp_path, None)
    assert (spec.devices, spec.device_requests) == (given.nodes, ())
    assert set(given.mounts) <= set(spec.mounts)
    assert dict(spec.environment)["DEVENV_GPU"] == "direct"
    labels = dict(spec.labels)
    assert gpu.from_json(json.loads(labels["dev.devenv.gpu"])) == given
    assert "dev.devenv.gpu" not in dict(bare.labels)
    assert labels["dev.devenv.spec"] != dict(bare.labels)["dev.devenv.spec"]
    other = _decide(tmp_path, gpu.access(recorded("h100-x2"), "0"))
    assert dict(other.labels)["dev.devenv.spec"] != labels["dev.devenv.spec"]


def test_a_label_of_another_devenv_is_no_gpu(tmp_path: Path) -> None:
    assert container_labels._gpu('{"mode": "direct"}') is None
    assert container_labels._gpu("x") is None
    assert container_labels._gpu(None) is None
