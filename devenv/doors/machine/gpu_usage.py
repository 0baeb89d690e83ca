"""The present use of GPUs: memory and utilisation, and the share of some processes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One GPU's present use. None for values that the driver does not report, as for MIG instances."""

    uuid: str
    used_bytes: int
    own_bytes: int | None
    utilisation_percent: int | None


def usage(uuids: Iterable[str], pids: frozenset[int], *, nvml: Callable[[], Any] | None = None) -> tuple[Usage, ...]:
    """The use of the GPUs with these UUIDs; `pids` are the processes whose share counts as their own.

    Empty when the driver does not answer, because a command that only reads must not fail.
    """
    try:
        library = (nvml or _load)()
        library.nvmlInit()
    except Exception:  # noqa: BLE001 - no driver, a broken one, no library: each has an error of its own
        return ()
    try:
        return tuple(found for uuid in uuids if (found := _one(library, uuid, pids)))
    finally:
        library.nvmlShutdown()


def _load() -> Any:
    import pynvml

    return pynvml


def _one(nvml: Any, uuid: str, pids: frozenset[int]) -> Usage | None:
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        used = int(nvml.nvmlDeviceGetMemoryInfo(handle).used)
    except nvml.NVMLError:
        return None
    busy = own = None
    with contextlib.suppress(nvml.NVMLError):
        busy = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    with contextlib.suppress(nvml.NVMLError):
        rows = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        own = sum(int(row.usedGpuMemory or 0) for row in rows if row.pid in pids)
    return Usage(uuid=uuid, used_bytes=used, own_bytes=own, utilisation_percent=busy)
