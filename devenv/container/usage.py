"""What an environment uses now: memory and GPUs."""

from __future__ import annotations

import dataclasses

from devenv.container.labels import Running
from devenv.doors.docker.engine import Engine


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GpuNow:
    """One GPU of an environment. `own_bytes`: the memory of the environment's own processes. What the driver does not
    tell is None."""

    index: int
    uuid: str
    name: str
    mode: str
    memory_bytes: int
    used_bytes: int | None
    own_bytes: int | None
    busy_percent: int | None


def memory(running: Running, engine: Engine) -> int | None:
    """Bytes in use without the page cache, as `docker stats` counts; None where the engine does not count them."""
    facts = engine.stats(running.facts.name).get("memory_stats") or {}
    if "usage" not in facts:
        return None
    return int(facts["usage"]) - int((facts.get("stats") or {}).get("inactive_file", 0))


def gpus(running: Running, engine: Engine) -> tuple[GpuNow, ...]:
    """The environment's GPUs; those of a container that does not run have no processes of their own."""
    if running.gpu is None:
        return ()
    from devenv.doors.machine.gpu_usage import usage

    pids = engine.pids(running.facts.name) if running.facts.state == "running" else frozenset()
    now = {one.uuid: one for one in usage([one.uuid for one in running.gpu.devices], pids)}
    return tuple(
        GpuNow(
            index=one.index, uuid=one.uuid, name=one.name, mode=running.gpu.mode, memory_bytes=one.memory_bytes,
            used_bytes=seen.used_bytes if (seen := now.get(one.uuid)) else None,
            own_bytes=seen.own_bytes if seen else None, busy_percent=seen.utilisation_percent if seen else None,
        )
        for one in running.gpu.devices
    )  # fmt: skip
