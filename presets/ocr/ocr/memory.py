"""Memory of this process, the machine and the GPU, and the GPU woken up early."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import os
import resource
import sys
import threading
from pathlib import Path


def peak_rss_mb() -> float:
    """The largest resident set so far, in 10⁶ bytes. Linux counts it in KiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The first GPU that CUDA would use. `memory` and `capability`: where NVML reports them. `is_whole`: it is certain
    that this is the one, and it is not divided, so that its memory is what a program here can get."""

    name: str
    memory: Memory | None
    is_whole: bool
    capability: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A GPU's, with what all processes have of it, in 10⁶ bytes."""

    used_mb: float
    free_mb: float
    total_mb: float


def gpu() -> Gpu | None:
    """The state of the first GPU as NVML reports it, without CUDA; None without a report."""
    try:
        import pynvml

        pynvml.nvmlInit()
        chosen = _chosen()
        first = pynvml.nvmlDeviceGetHandleByIndex(chosen or 0)
        memory: Memory | None = None
        with contextlib.suppress(pynvml.NVMLError):  # of parts of GPUs, and where GPU and processor share it
            told = pynvml.nvmlDeviceGetMemoryInfo(first)
            memory = Memory(
                used_mb=round(float(told.used) / 1e6, 1),
                free_mb=float(told.free) / 1e6,
                total_mb=float(told.total) / 1e6,
            )
        is_divided = False
        with contextlib.suppress(pynvml.NVMLError):  # of GPUs that cannot be divided
            is_divided = bool(pynvml.nvmlDeviceGetMigMode(first)[0])
        capability: tuple[int, int] | None = None
        with contextlib.suppress(pynvml.NVMLError):
            major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(first)
            capability = int(major), int(minor)
        is_known = chosen is not None or pynvml.nvmlDeviceGetCount() == 1
        return Gpu(
            name=str(pynvml.nvmlDeviceGetName(first)),
            memory=memory,
            is_whole=is_known and not is_divided,
            capability=capability,
        )
    except Exception:  # noqa: BLE001  (a number in a report is not worth an error; an allocation that fails is reported)
        return None


def gpus() -> tuple[int, ...]:
    """The numbers, as CUDA counts them in the order of the bus, of the GPUs that a program here may use; none where
    NVML does not tell, where GPUs are divided, or where CUDA_VISIBLE_DEVICES does not say for certain which are meant
    (names, or numbers without CUDA_DEVICE_ORDER=PCI_BUS_ID)."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = None if visible is None else [name.strip() for name in visible.split(",") if name.strip()]
    in_order = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if names is not None and not (in_order and all(name.isdecimal() for name in names)):
        return ()
    try:
        import pynvml

        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
        for number in range(count):
            with contextlib.suppress(pynvml.NVMLError):
                if pynvml.nvmlDeviceGetMigMode(pynvml.nvmlDeviceGetHandleByIndex(number))[0]:
                    return ()
        return tuple(number for number in range(count) if names is None or str(number) in names)
    except Exception:  # noqa: BLE001  (without NVML there is one engine, and starting it reports the fault)
        return ()


def _chosen() -> int | None:
    """The GPU that the environment names first, if it is certain which one that is."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
    return int(visible) if visible.isdecimal() and os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" else None


def give_back() -> None:
    """Have PyTorch, where it is loaded, give memory back to the GPU that nothing refers to any more."""
    gc.unfreeze()  # vLLM takes what it starts with out of the collector's sight
    gc.collect()
    if torch := sys.modules.get("torch"):
        with contextlib.suppress(RuntimeError):  # of the driver, which may be too full for more than tensors
            torch.cuda.empty_cache()


def available_mb() -> float:
    """The main memory that this process may still take, in 10⁶ bytes: the machine's, or its container's limit."""
    left = _first_number("/proc/meminfo", "MemAvailable:") * 1024 / 1e6
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii").strip()
        return left if limit == "max" else min(left, (int(limit) - int(used)) / 1e6)
    except (OSError, ValueError):
        return left


def has_gpu() -> bool:
    """Whether there is a GPU's device, asked of no driver: on Linux, or in WSL."""
    return any(map(os.path.exists, ("/dev/nvidiactl", "/dev/dxg")))


def fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 numbers itself."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _first_number(path: str, name: str) -> int:
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def wake_gpu() -> None:
    """Have the driver make the first GPU's context in the background: it takes a second, and torch, whose import takes
    several, then finds it made. Nothing happens where there is no driver."""
    if os.environ.get("OCR_DEVICE") == "cpu":
        return

    def work() -> None:
        with contextlib.suppress(OSError, AttributeError):
            driver = ctypes.CDLL("libcuda.so.1")
            device, context = ctypes.c_int(), ctypes.c_void_p()
            if driver.cuInit(0) == 0 and driver.cuDeviceGet(ctypes.byref(device), 0) == 0:
                driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)

    threading.Thread(target=work, daemon=True).start()
