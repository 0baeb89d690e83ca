"""Memory of this process, the machine and the GPU, and the GPU woken up early."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import threading
from pathlib import Path


def peak_rss_mb() -> float:
    """The largest resident set so far, in 10⁶ bytes. Linux counts it in KiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


def gpu_used_mb() -> float:
    """What is in use on the first GPU now, by all processes, in 10⁶ bytes; 0 where NVML does not tell."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return round(float(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used) / 1e6, 1)
    except Exception:  # noqa: BLE001  (a number for a report is not worth an error)
        return 0.0


def gpu_memory_mb() -> tuple[float, float] | None:
    """What is free on the only GPU and all that it has, in 10⁶ bytes; None where NVML tells nothing, or of more."""
    try:
        import pynvml

        pynvml.nvmlInit()
        if pynvml.nvmlDeviceGetCount() != 1:
            return None
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        with contextlib.suppress(pynvml.NVMLError):  # of GPUs that cannot be divided
            if pynvml.nvmlDeviceGetMigMode(gpu)[0]:
                return None  # what is told is the whole GPU's, not the part's
        memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
        return float(memory.free) / 1e6, float(memory.total) / 1e6
    except Exception:  # noqa: BLE001  (whoever needs the memory will say what is missing)
        return None


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
