"""The check that runs inside a container, on a stand-in for the driver that computes in Python."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

from devenv.checks.gpu import prove, read
from devenv.container import gpu
from devenv.container import labels as container_labels
from devenv.container.labels import Running
from devenv.doors.docker.engine import labels_json
from devenv.doors.docker.values import ContainerFacts
from devenv.errors import MachineError

SCRIPT = Path(__file__).parents[3] / "templates/image/usr/local/lib/devenv/gpu-check"


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("gpu_check", str(SCRIPT))
    spec = importlib.util.spec_from_loader("gpu_check", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


class Driver:
    """As much of libcuda as the check calls. `wrong`: how many numbers it computes wrongly."""

    def __init__(self, module: Any, *, gpus: int = 1, wrong: int = 0, refuses: str = "") -> None:
        self.module, self.gpus, self.wrong, self.refuses = module, gpus, wrong, refuses
        self.memory: list[int] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> None:
            if name == self.refuses:
                raise self.module.Failed(f"{name}: out of memory (2)")
            if act := getattr(type(self), f"_{name}", None):
                act(self, *arguments)

        return call

    def _cuDriverGetVersion(self, version: Any) -> None:
        version._obj.value = 13000

    def _cuDeviceGetCount(self, count: Any) -> None:
        count._obj.value = self.gpus

    def _cuDeviceGetName(self, name: Any, *_: Any) -> None:
        name.value = b"NVIDIA Stand-in"

    def _cuDeviceTotalMem_v2(self, memory: Any, _: Any) -> None:
        memory._obj.value = 80 << 30

    def _cuDeviceGetUuid(self, uuid: Any, _: Any) -> None:
        uuid._obj[:] = list(range(16))

    def _cuDeviceGetAttribute(self, number: Any, attribute: int, _: Any) -> None:
        number._obj.value = {75: 9, 76: 0}[attribute]

    def _cuMemcpyHtoD_v2(self, _: Any, numbers: Any, size: Any) -> None:
        assert size.value == ctypes.sizeof(numbers)
        self.memory = list(numbers)

    def _cuLaunchKernel(self, _: Any, blocks: int, y: int, z: int, threads: int, *__: Any) -> None:
        assert blocks * threads == len(self.memory)
        self.memory = [(x * x + i) & 0xFFFFFFFF for i, x in enumerate(self.memory)]
        for number in range(self.wrong):
            self.memory[number] += 1

    def _cuMemcpyDtoH_v2(self, out: Any, *_: Any) -> None:
        out[:] = self.memory


def _run(check: Any, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    monkeypatch.setattr(check, "Cuda", lambda _: Driver(check, **changes))
    found: dict[str, Any] = check.check("libcuda.so.1")
    return found


def test_it_passes_and_says_what_it_saw(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _run(check, monkeypatch)
    assert (found["passed"], found["problem"], found["cuda"]) == (True, "", "13.0")
    (device,) = found["devices"]
    assert (device["name"], device["capability"]) == ("NVIDIA Stand-in", "9.0")
    assert device["uuid"] == "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert "seconds" in device


def test_a_single_wrong_number_fails(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _run(check, monkeypatch, wrong=1)
    assert not found["passed"]
    assert "computed 1 of 4096 numbers wrongly" in found["problem"]


@pytest.mark.parametrize("call", ["cuInit", "cuCtxCreate_v2", "cuModuleLoadData", "cuLaunchKernel", "cuMemcpyDtoH_v2"])
def test_a_call_that_the_driver_refuses_fails(check: Any, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    found = _run(check, monkeypatch, refuses=call)
    assert (found["passed"], call in found["problem"]) == (False, True)


def test_no_gpu_fails(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sees no GPU" in _run(check, monkeypatch, gpus=0)["problem"]


def test_without_the_drivers_library_it_fails(check: Any) -> None:
    found = check.check("libnot-there.so.1")
    assert (found["passed"], "not in the container" in found["problem"]) == (False, True)


UUID = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"


def _running(uuid: str = UUID) -> Running:
    device = gpu.Device(index=0, uuid=uuid, name="X", memory_bytes=1, capability="9.0", minor=0)
    labels = {"dev.devenv.name": "demo", "dev.devenv.gpu": labels_json(gpu.to_json(
        gpu.Access(mode="direct", devices=(device,))))}  # fmt: skip
    return container_labels.describe(
        ContainerFacts(
            id="1",
            name="devenv-demo",
            state="running",
            exit_code=0,
            image="i",
            labels=labels,
            ports=(),
            mounts=(),
            started_at="",
        )
    )


class Engine:
    def __init__(self, code: int, out: str, err: str = "") -> None:
        self.answer = (code, out, err)

    def exec(self, *_: Any, **__: Any) -> tuple[int, str, str]:
        return self.answer


def _told(**changes: Any) -> str:
    return json.dumps({"passed": True, "problem": "", "devices": [{"uuid": UUID}], "seconds": 0.3, "cuda": "13.0",
                       **changes})  # fmt: skip


def test_the_proof() -> None:
    proof = prove(_running(), Engine(0, _told()))  # type: ignore[arg-type]
    assert (proof.passed, proof.cuda, proof.seconds) == (True, "13.0", 0.3)


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (Engine(1, _told(passed=False, problem="sees no GPU")), "sees no GPU"),
        (Engine(0, _told(devices=[{"uuid": "GPU-other"}])), "it sees GPU-other, but was given GPU-0001"),
        (Engine(0, _told(devices=[])), "was given"),
        (Engine(124, "", "Terminated"), "status 124 and printed: Terminated"),
        (Engine(0, ""), "status 0 and printed: nothing"),
        (Engine(0, "hello"), "printed: hello"),
    ],
)
def test_what_is_no_proof(engine: Engine, words: str) -> None:
    with pytest.raises(MachineError, match=words) as raised:
        prove(_running(), engine)  # type: ignore[arg-type]
    assert raised.value.exit_code == 13
    assert "'direct'" in raised.value.message


def test_a_status_that_is_not_0_never_passes() -> None:
    assert not read(_told(), "", 1).passed
