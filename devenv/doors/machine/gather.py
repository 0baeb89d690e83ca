"""All facts of this machine at once; slow questions are asked at the same time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors.machine import local, nvidia
from devenv.doors.machine.engine_facts import EngineFacts
from devenv.doors.machine.model import Machine, Network, Nvidia
from devenv.doors.machine.ports import port_is_free
from devenv.doors.thread import in_thread

if TYPE_CHECKING:
    from devenv.doors.http.web import Origin
    from devenv.doors.settings.settings import Settings


def gather(
    settings: Settings,
    engine: Callable[[], EngineFacts],
    *,
    ports: Sequence[int] = (),
    origins: Sequence[tuple[str, Origin]] | None = None,
    carried: Mapping[str, str] | None = None,
    root: Path = Path("/"),
) -> Machine:
    """Ask engine (see `machine.engine.ask`), driver, kernel and, unless `origins` is None, the network."""

    def network() -> Network | None:
        if origins is None:
            return None
        from devenv.doors.machine.network import DEADLINE_S, ask

        return ask(settings, origins, carried or {}, deadline_s=DEADLINE_S)

    facts, driver = in_thread("engine", engine), in_thread("nvidia", lambda: nvidia.look(root))
    reached = in_thread("network", network)
    busy = tuple(port for port in ports if not port_is_free(port))
    return assemble(
        settings, engine=facts.result(), nvidia_=driver.result(), network=reached.result(), busy=busy, root=root
    )


def quick(settings: Settings, engine: EngineFacts, *, with_gpu: bool, root: Path = Path("/")) -> Machine:
    """The facts for `up` before any download: no network, and the driver only where it is wanted."""
    return assemble(settings, engine=engine, nvidia_=nvidia.look(root) if with_gpu else Nvidia(), root=root)


def assemble(
    settings: Settings,
    *,
    engine: EngineFacts,
    nvidia_: Nvidia,
    network: Network | None = None,
    busy: tuple[int, ...] = (),
    root: Path = Path("/"),
) -> Machine:
    """The quick facts, and the requested further ones."""
    memory, available = local.memory(root)
    # Docker Desktop's folder lies in its virtual machine, and this user may not search the parents of others: the
    # disk of an invisible folder is not known.
    here = bool(engine.root) and not engine.remote and os.path.exists(engine.root)  # noqa: PTH110 - raises nothing
    images = local.disk(Path(engine.root)) if here else None
    return Machine(
        system=local.system(),
        architecture=settings.arch,
        distribution=local.distribution(root),
        kernel=local.kernel(root),
        wsl=local.is_wsl(root),
        container=local.in_container(root),
        uid=settings.uid,
        gid=settings.gid,
        memory_bytes=memory,
        available_bytes=available,
        cpus=os.cpu_count() or 0,
        engine=engine,
        images_disk=images,
        store_disk=local.disk(settings.dirs.store),
        weights_disk=local.disk(settings.hubs.dir),
        nvidia=nvidia_,
        other_gpus=local.other_gpus(root, settings.arch),
        selinux=local.selinux(root),
        apparmor=local.apparmor(root),
        busy_ports=busy,
        network=network,
    )
