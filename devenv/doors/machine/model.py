"""A machine as values. They convert to JSON and back, so a recorded machine can be a test."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Any

from devenv.doors.machine.engine_facts import EngineFacts

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The disk space of one place: its nearest existing folder, and its file system by device number."""

    path: str
    free_bytes: int
    total_bytes: int
    device: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mig:
    """One MIG instance of a GPU. `caps`: its nodes below /dev/nvidia-caps."""

    uuid: str
    memory_bytes: int
    caps: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU. `minor` is the number of its device node, which need not be `index`."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    capability: str  # `9.0`
    minor: int
    mig: tuple[Mig, ...] = ()
    mig_mode: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A device node. `mode`: its permission bits, such as 0o666."""

    path: str
    mode: int = 0o666


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A file of the driver's: the real file on the host, and the names by which programs load it."""

    source: str
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cdi:
    """One CDI spec of NVIDIA GPUs. `missing`: files it names that do not exist (it was made for another driver)."""

    path: str
    devices: tuple[str, ...]
    missing: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Nvidia:
    """NVIDIA's driver and GPUs, and the ways they can get into a container."""

    driver: str = ""
    cuda: str = ""  # the newest CUDA that the driver supports
    problem: str = ""  # why NVML reported nothing, when there are traces of a GPU
    source: str = ""  # nvml | nvidia-smi
    gpus: tuple[Gpu, ...] = ()
    nodes: tuple[Node, ...] = ()
    libraries: tuple[Library, ...] = ()
    programs: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    hook: bool = False  # nvidia-container-runtime-hook: what the engine's `--gpus` calls
    cdi: tuple[Cdi, ...] = ()
    pci: int = 0  # display and compute controllers of NVIDIA's on the bus, driver or not
    nouveau: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probed address. `problem` is empty when it answered, with any HTTP status."""

    name: str  # pip | npm | apt | hub …
    url: str
    seconds: float
    problem: str = ""
    kind: str = ""  # of the problem: dns | connect | tls | proxy | timeout | http
    skew_s: float | None = None  # this machine's clock minus the server's


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What the network probes found. `proxies`: variables and settings that name one, secrets left out."""

    probes: tuple[Probe, ...] = ()
    proxies: tuple[str, ...] = ()
    ca_bundle: str = ""
    ca_problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """All of it. `network` is None when it was not probed."""

    system: str = "Linux"
    architecture: str = "amd64"
    distribution: str = ""
    kernel: str = ""
    wsl: bool = False
    container: bool = False  # devenv itself runs in a container
    uid: int = 1000
    gid: int = 1000
    memory_bytes: int = 0
    available_bytes: int = 0
    cpus: int = 0
    engine: EngineFacts | None = None
    images_disk: Disk | None = None
    store_disk: Disk | None = None
    weights_disk: Disk | None = None
    nvidia: Nvidia = Nvidia()
    other_gpus: tuple[str, ...] = ()  # `AMD`, `Apple`, `Intel`: recognised, not supported
    selinux: str = ""  # enforcing | permissive | disabled, empty without SELinux
    apparmor: bool = False
    busy_ports: tuple[int, ...] = ()
    network: Network | None = None


def to_json(machine: Machine) -> dict[str, Any]:
    """As a JSON value."""
    return dataclasses.asdict(machine)


def from_json(value: Any) -> Machine:
    """From a JSON value; keys may be missing. Raises pydantic's ValidationError for a value that is not a machine."""
    return _adapter().validate_python(value)


@cache
def _adapter() -> TypeAdapter[Machine]:
    from pydantic import TypeAdapter

    return TypeAdapter(Machine)
