"""Findings about GPUs: present, able, large enough, driver new enough, and reachable for a container."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from devenv.compat.versions import numbers
from devenv.container import gpu
from devenv.doctor.finding import BLOCKER, Finding, blocker, ok, warning
from devenv.doctor.host import NOMINAL
from devenv.doors.machine.model import Machine
from devenv.errors import MachineError, UsageError
from devenv.preset.sizes import bytes_of

if TYPE_CHECKING:
    from devenv.compat.matrix import Matrix
    from devenv.preset.model import Gpu as Wish

_CHECK = "see what the driver reports: nvidia-smi"


_ELSE = "use a machine with an NVIDIA GPU, or a preset for the CPU: devenv presets"
_ON_CPU = "; if the work can be done on the CPU, write 'gpu: {required: false}' in your preset"


def presence(machine: Machine, *, required: bool, own: bool = False) -> Finding:
    """Whether this machine has an NVIDIA GPU whose driver answers; if not, which other GPUs it has. `own`: the wish for
    one stands in the user's own preset."""
    nvidia = machine.nvidia
    bad = blocker if required else warning
    if nvidia.gpus:
        names = ", ".join(f"{one.index}: {one.name}" for one in nvidia.gpus)
        return ok("gpu.present", f"{names}; driver {nvidia.driver}")
    if nvidia.nouveau and nvidia.pci:
        return bad(
            "gpu.driver",
            "the NVIDIA GPU uses the driver nouveau, which cannot compute",
            "install NVIDIA's driver: sudo apt install nvidia-driver (Debian), sudo ubuntu-drivers install "
            "(Ubuntu), then restart",
        )
    if nvidia.problem and "version mismatch" in nvidia.problem.lower():
        return bad(
            "gpu.driver",
            f"the driver was updated under the running kernel ({nvidia.problem})",
            "restart the machine, or: sudo rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia && sudo nvidia-smi",
        )
    if nvidia.pci or nvidia.nodes or nvidia.driver:
        why = f": {nvidia.problem}" if nvidia.problem else ""
        what = f"this machine has an NVIDIA GPU, but its driver does not answer{why}"
        return bad("gpu.driver", what, "install NVIDIA's driver, or load it: sudo modprobe nvidia; " + _CHECK)
    if machine.other_gpus:
        makers = " and ".join(machine.other_gpus)
        made = {"AMD": "ROCm", "Apple": "Metal"}.get(machine.other_gpus[0], "its own software")
        what = f"the GPU here is from {makers}; devenv supports only those of NVIDIA ({made} is not supported)"
        return bad("gpu.vendor", what, _ELSE + _ON_CPU * own) if (required) else ok("gpu.vendor", what)
    if not required:
        return ok("gpu.present", "no GPU, and none is needed")
    return blocker("gpu.present", "this machine has no GPU", _ELSE + _ON_CPU * own)


def examine(
    machine: Machine,
    wish: Wish | None,
    matrix: Matrix | None,
    *,
    cuda: str | None,
    gpus: str | None,
    mode: str = "auto",
    own: bool = False,
) -> Iterator[Finding]:
    """`gpus` is the value of `--gpus` (None without it); `cuda` the CUDA of the preset's wheels; `own`: see
    `presence`."""
    if machine.engine and machine.engine.remote:
        return
    if gpus == "none":
        if wish and wish.required:
            yield warning(
                "gpu.none", "the preset needs a GPU, but --gpus none gives it none", "run again without --gpus none"
            )
        return
    required = bool(wish and wish.required) or gpus is not None
    there = presence(machine, required=required, own=own and gpus is None)
    yield there
    if not machine.nvidia.gpus or there.level == BLOCKER or not (wish or gpus is not None):
        return
    try:
        devices = gpu.select(machine.nvidia, gpus or "all")
    except UsageError as error:
        yield blocker("gpu.choice", error.message, error.hint or "")
        return
    if not devices:
        yield blocker(
            "gpu.mig",
            "the GPU is in MIG mode without a MIG instance, so nothing can compute on it",
            "make one: sudo nvidia-smi mig -cgi 0 -C; or switch MIG off: sudo nvidia-smi -mig 0",
        )
        return
    if wish:
        yield from _size(devices, wish)
        yield from _able(devices, wish)
    if matrix:
        if cuda:
            yield from _cuda(machine, devices, cuda, matrix)
        yield from _generation(machine, devices, matrix)
    yield from _way(machine, gpus or "all", mode)


def _size(devices: Sequence[gpu.Device], wish: Wish) -> Iterator[Finding]:
    if len(devices) < wish.count:
        yield blocker(
            "gpu.count",
            f"the preset needs {wish.count} GPUs, but this machine has {len(devices)}",
            "use a machine with more GPUs, or set gpu.count in a preset that extends it",
        )
    if not wish.memory:
        return
    needed = bytes_of(wish.memory)
    sizes = sorted((device.memory_bytes for device in devices), reverse=True)[: wish.count]
    smallest = sizes[-1]
    if not smallest:
        yield warning("gpu.memory", "the driver does not report how much memory the GPU has", _CHECK)
    elif needed > smallest * NOMINAL:
        yield blocker(
            "gpu.memory",
            f"the GPU has {_gib(smallest)} of memory, but the preset needs {_gib(needed)}",
            "use a GPU with more memory, or a preset that needs less: devenv presets",
        )
    else:
        yield ok("gpu.memory", f"{_gib(smallest)} of GPU memory; the preset needs {_gib(needed)}")


def _able(devices: Sequence[gpu.Device], wish: Wish) -> Iterator[Finding]:
    if not wish.min_capability:
        return
    weak = [device for device in devices if () < numbers(device.capability) < numbers(wish.min_capability)]
    if not all(numbers(device.capability) for device in devices):
        yield warning("gpu.capability", "the driver does not report the GPU's compute capability", _CHECK)
    elif weak:
        able = [str(device.index) for device in devices if device not in weak]
        remedy = f"use the other GPU: --gpus {','.join(able)}" if len(able) >= wish.count else "use a newer GPU"
        yield blocker(
            "gpu.capability",
            f"GPU {weak[0].index} ({weak[0].name}) has compute capability {weak[0].capability}, and the preset needs "
            f"{wish.min_capability}",
            remedy,
        )
    else:
        yield ok("gpu.capability", f"compute capability {devices[0].capability}; {wish.min_capability} is needed")


def _cuda(machine: Machine, devices: Sequence[gpu.Device], cuda: str, matrix: Matrix) -> Iterator[Finding]:
    row, driver = matrix.for_cuda(cuda), machine.nvidia.driver
    if row is None:
        yield warning(
            "gpu.cuda",
            f"CUDA {cuda} is not in the compatibility matrix, so devenv cannot judge it",
            "try it, because 'devenv up' checks whether it computes; or add a row to compatibility.yaml",
        )
        return
    if not numbers(driver):
        yield warning("gpu.cuda", "the driver's version is not known", _CHECK)
    elif numbers(driver) < numbers(row.driver):
        older = _for_driver(driver, matrix)
        other = f", or a preset for CUDA {older}" if older else ""
        yield blocker(
            "gpu.cuda",
            f"CUDA {cuda} needs driver {row.driver} or newer; this machine has {driver}",
            f"update the driver to {row.driver} or newer{other}",
        )
    else:
        yield ok("gpu.cuda", f"CUDA {cuda} works with driver {driver} (from {row.driver} on)")
    low, high = row.capability
    for device in devices:
        if numbers(device.capability) < numbers(low):
            yield blocker(
                "gpu.kernels",
                f"CUDA {cuda} has dropped {device.name} (compute capability {device.capability}; {low} is the oldest)",
                f"use a preset for an older CUDA{_knowing(device.capability, matrix)}",
            )
            return
        if numbers(device.capability) > numbers(high):
            known = _knowing(device.capability, matrix)
            if known or numbers(device.capability)[0] <= numbers(high)[0]:
                yield blocker(
                    "gpu.kernels",
                    f"CUDA {cuda} does not support {device.name} "
                    f"(compute capability {device.capability}; {high} is the newest)",
                    f"use a preset for a newer CUDA{known}",
                )
            else:
                yield warning(
                    "gpu.kernels",
                    f"{device.name} (compute capability {device.capability}) is newer than the compatibility matrix",
                    "try it, because 'devenv up' checks whether it computes",
                )
            return


def _for_driver(driver: str, matrix: Matrix) -> str:
    """The newest CUDA, as its row gives it, that a driver supports."""
    rows = [row for row in matrix.cuda if numbers(row.driver) <= numbers(driver)]
    return (
        rows[-1].versions.removeprefix("==").replace(".*", "").replace(">=", "").replace(",<", " to before ")
        if (rows)
        else ""
    )


def _knowing(capability: str, matrix: Matrix) -> str:
    rows = [
        row for row in matrix.cuda if numbers(row.capability[0]) <= numbers(capability) <= numbers(row.capability[1])
    ]
    return f" (CUDA {rows[-1].versions})" if rows else ""


def _generation(machine: Machine, devices: Sequence[gpu.Device], matrix: Matrix) -> Iterator[Finding]:
    driver = machine.nvidia.driver
    for device in devices:
        row = matrix.driver_for(device.capability)
        if row and numbers(driver) and numbers(driver) < numbers(row.driver):
            yield blocker(
                "gpu.generation",
                f"{device.name} ({row.name}) needs driver {row.driver} or newer; this machine has {driver}",
                f"update the driver to {row.driver} or newer",
            )
            return


def _way(machine: Machine, gpus: str, mode: str) -> Iterator[Finding]:
    try:
        access = gpu.access(machine, gpus, mode)
    except MachineError as error:
        detail = f" ({'; '.join(error.detail.splitlines())})" if error.detail else ""
        yield blocker("gpu.access", f"{error.message}{detail}", error.hint or "")
        return
    yield ok("gpu.access", f"containers get it by: {access.mode}")
    if access.mode == "direct" and any(
        not node.mode & 0o006 for node in machine.nvidia.nodes if node.path in access.nodes[:1]
    ):
        yield warning(
            "gpu.nodes",
            "the driver's device nodes are not open to every user: the user in the container may be denied access",
            "set NVreg_DeviceFileMode=0666 for the module nvidia (/etc/modprobe.d), or: sudo chmod 666 /dev/nvidia*",
        )
    for spec in machine.nvidia.cdi:
        if spec.missing:
            yield warning(
                "gpu.cdi",
                f"{spec.path} names {spec.missing[0]}, which does not exist: the spec was made for another driver",
                f"sudo nvidia-ctk cdi generate --output={spec.path}",
            )


def _gib(bytes_: int) -> str:
    return f"{bytes_ / 1024**3:.1f} GiB"
