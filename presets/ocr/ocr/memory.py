"""How much memory this process has had at most."""

from __future__ import annotations

import resource


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
