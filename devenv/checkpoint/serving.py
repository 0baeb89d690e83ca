"""Which preset serves: the one that the user names, else the first that this machine's GPU and driver can run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.checkpoint.support import Release
from devenv.compat.verdict import cuda_of, pinned
from devenv.compat.versions import numbers
from devenv.doctor import gpu
from devenv.doctor.finding import BLOCKER, Finding
from devenv.errors import MachineError, UsageError
from devenv.preset.load import LoadedPreset, find, load

if TYPE_CHECKING:
    from devenv.compat.matrix import Matrix
    from devenv.doors.machine.model import Machine
    from devenv.preset.model import Preset

SERVER = "/usr/local/lib/devenv-completions/completions"
"""Where presets without vLLM have the server."""
ON_GPU = ("vllm", "vllm-cu12")
"""The newest CUDA first."""
ON_CPU = "transformers-cpu"
_JUDGED = ("gpu.driver", "gpu.cuda", "gpu.kernels", "gpu.generation", "gpu.capability", "gpu.vendor")
"""What the preset decides; memory is the model's, and the way into a container the engine's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The preset to extend, and why."""

    argument: str
    loaded: LoadedPreset
    release: Release
    why: str

    @property
    def preset(self) -> Preset:
        """The preset's content."""
        return self.loaded.preset


def choose(argument: str | None, folder: Path, machine: Callable[[], Machine], matrix: Matrix) -> Serving:
    """The preset. Raises UsageError for one that cannot serve, MachineError for a GPU that no preset can use."""
    if argument is not None:
        return _named(argument, folder, "")
    here = machine()
    nvidia = here.nvidia
    if not (nvidia.gpus or nvidia.pci or nvidia.nodes or nvidia.driver):
        return _named(ON_CPU, folder, "this machine has no NVIDIA GPU")
    first: Finding | None = None
    for name in ON_GPU:
        serving = _named(name, folder, "")
        problem = _problem(serving.preset, here, matrix)
        if problem is None:
            cuda = cuda_of(serving.preset, matrix)
            return dataclasses.replace(serving, why=f"CUDA {cuda} for driver {nvidia.driver} and {nvidia.gpus[0].name}")
        first = first or problem
    assert first is not None
    raise MachineError(
        first.what, hint=f"{first.remedy}; or serve on the CPU: devenv init {ON_CPU} --model …"
    )  # fmt: skip


def _named(argument: str, folder: Path, why: str) -> Serving:
    loaded = load(find(argument, folder))
    preset = loaded.preset
    if preset.model is not None:
        raise UsageError(
            f"{argument} has a model of its own", hint=f"name a preset without one: {', '.join((*ON_GPU, ON_CPU))}"
        )
    if version := pinned(preset, "vllm"):
        release = Release(engine="vllm", version=version, transformers=pinned(preset, "transformers"))
    elif SERVER in preset.files:
        own = pinned(preset, "transformers")
        release = Release(engine="transformers", version=own, transformers=own)
    else:
        raise UsageError(
            f"{argument} has no server of models: neither vLLM nor devenv's own for Transformers",
            hint=f"name a preset that extends one of: {', '.join((*ON_GPU, ON_CPU))}",
        )
    return Serving(argument=argument, loaded=loaded, release=release, why=why)


def _problem(preset: Preset, machine: Machine, matrix: Matrix) -> Finding | None:
    """Why this machine's GPU cannot run a preset, whatever the model."""
    findings = gpu.examine(machine, preset.gpu, matrix, cuda=cuda_of(preset, matrix), gpus=None)
    return next((one for one in findings if one.level == BLOCKER and one.id in _JUDGED), None)


def check_format(capability: str | None, machine: Machine, what: str) -> None:
    """Raise MachineError when no GPU here computes a format of weights."""
    gpus = [one for one in machine.nvidia.gpus if numbers(one.capability)]
    if capability and gpus and all(numbers(one.capability) < numbers(capability) for one in gpus):
        best = max(gpus, key=lambda one: numbers(one.capability))
        raise MachineError(
            f"{what} need a GPU of compute capability {capability}; {best.name} has {best.capability}",
            hint="name the repository that they were made from, or another format of it",
        )
