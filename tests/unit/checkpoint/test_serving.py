"""The preset that serves, by this machine's GPU and driver."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from devenv.checkpoint.serving import ON_CPU, check_format, choose
from devenv.compat.matrix import read
from devenv.doors.machine.model import Machine, Nvidia, from_json
from devenv.errors import MachineError, UsageError

H100 = from_json(json.loads((Path(__file__).parents[2] / "data" / "machines" / "h100-x1.json").read_text()))
NONE = dataclasses.replace(H100, nvidia=Nvidia())


def _driver(version: str, capability: str = "9.0") -> Machine:
    gpus = tuple(dataclasses.replace(gpu, capability=capability) for gpu in H100.nvidia.gpus)
    return dataclasses.replace(H100, nvidia=dataclasses.replace(H100.nvidia, driver=version, gpus=gpus))


def _chosen(argument: str | None, machine: Machine, folder: Path = Path("/")) -> str:
    found = choose(argument, folder, lambda: machine, read())
    return f"{found.argument} {found.release.title}"


def test_the_newest_cuda_that_the_driver_knows() -> None:
    assert _chosen(None, _driver("580.65.06")) == "vllm vLLM 0.29.0"
    assert _chosen(None, _driver("550.54.14")) == "vllm-cu12 vLLM 0.19.1"
    assert "CUDA 12.8 for driver 550.54.14" in choose(None, Path("/"), lambda: _driver("550.54.14"), read()).why


def test_a_machine_without_a_gpu_serves_on_the_cpu_and_says_so() -> None:
    found = choose(None, Path("/"), lambda: NONE, read())
    assert (found.argument, found.why) == (ON_CPU, "this machine has no NVIDIA GPU")


@pytest.mark.parametrize("machine", [
    _driver("470.57.02"), _driver("580.65.06", "7.0"),
    dataclasses.replace(NONE, nvidia=Nvidia(pci=1, problem="Driver/library version mismatch")),
])  # fmt: skip
def test_a_gpu_that_cannot_be_used_is_no_reason_for_the_cpu(machine: Machine) -> None:
    with pytest.raises(MachineError) as refused:
        _chosen(None, machine)
    assert f"devenv init {ON_CPU} --model" in (refused.value.hint or "")


def test_a_named_preset_is_taken_whatever_the_machine(tmp_path: Path) -> None:
    assert _chosen("vllm", NONE) == "vllm vLLM 0.29.0"
    (tmp_path / "mine.yaml").write_text("extends: vllm\nname: mine\nvllm: 0.27.0\n")
    assert _chosen("./mine.yaml", NONE, tmp_path) == "./mine.yaml vLLM 0.27.0"


@pytest.mark.parametrize(("name", "words"), [
    ("python", "has no server of models"), ("deepseek-ocr", "has a model of its own"), ("pytorch-cuda", "has no server"),
])  # fmt: skip
def test_a_preset_that_cannot_serve_is_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        _chosen(name, H100)


def test_a_format_that_no_gpu_here_computes_is_refused() -> None:
    check_format("9.0", H100, "weights in fp8")
    check_format("10.0", NONE, "weights in mxfp8")
    check_format(None, H100, "")
    with pytest.raises(MachineError, match=r"weights in mxfp8 need a GPU of compute capability 10\.0; NVIDIA H100"):
        check_format("10.0", H100, "weights in mxfp8")
