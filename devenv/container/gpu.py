"""How GPUs get into a container: which GPUs, and in which of this machine's modes. Pure."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from devenv.doors.docker.values import DeviceRequest, Mount
from devenv.doors.untrusted import value_of
from devenv.errors import MachineError, UsageError

if TYPE_CHECKING:
    from devenv.doors.machine.model import Gpu, Machine, Mig, Nvidia

MODES = ("runtime", "cdi", "direct")
"""In order of preference: NVIDIA's runtime, a CDI spec, and without either the device nodes and libraries."""
_CONTROL = ("/dev/nvidiactl", "/dev/nvidia-uvm")
_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_WSL_DRIVERS = "/usr/lib/wsl/drivers"
_MIN_CDI = 25


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU, or one part of one, that a container gets."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    capability: str
    minor: int
    caps: tuple[str, ...] = ()

    @property
    def is_part(self) -> bool:
        """Whether it is a MIG device."""
        return self.uuid.startswith("MIG-")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Everything that a container is given for its GPUs."""

    mode: str  # runtime | cdi | direct
    devices: tuple[Device, ...]
    requests: tuple[DeviceRequest, ...] = ()
    nodes: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    runtime: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    asked: str = "all"  # the words that chose `devices`


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One of MODES on this machine: `lacks` and `remedy` explain why it cannot be used, and are empty when it can."""

    mode: str
    lacks: str = ""
    remedy: str = ""


def ways(machine: Machine) -> tuple[Way, ...]:
    """What each mode lacks on this machine, in order of preference."""
    return (_runtime_way(machine), _cdi_way(machine), _direct_way(machine))


def access(machine: Machine, wanted: str, mode: str = "auto") -> Access:
    """Decide. `wanted`: `all`, or indices and UUIDs separated by commas.

    Raises MachineError when there is no GPU or no way, UsageError when there is no such GPU.
    """
    if not machine.nvidia.gpus:
        raise MachineError("this machine's driver finds no NVIDIA GPU", hint="see why: devenv doctor")
    devices = select(machine.nvidia, wanted)
    known = ways(machine)
    if mode == "auto":
        chosen = next((way for way in known if not way.lacks), None)
        if chosen is None:
            reasons = "\n".join(f"{way.mode}: {way.lacks}" for way in known)
            raise MachineError(
                "this machine has a GPU, but no way to give it to a container", detail=reasons, hint=known[-1].remedy
            )
    else:
        chosen = next(way for way in known if way.mode == mode)
        if chosen.lacks:
            usable = [way.mode for way in known if not way.lacks]
            other = f"; use one that works here: --gpu-mode {usable[0]}" if usable else ""
            raise MachineError(f"--gpu-mode {mode} cannot work here: {chosen.lacks}", hint=chosen.remedy + other)
    made = {"runtime": _by_runtime, "cdi": _by_cdi, "direct": _directly}[chosen.mode](machine, devices)
    return dataclasses.replace(made, asked=wanted)


def select(nvidia: Nvidia, wanted: str) -> tuple[Device, ...]:
    """The GPUs that `wanted` names; a GPU with MIG instances stands for all of them. Raises UsageError."""
    known = [device for gpu in nvidia.gpus for device in _devices(gpu)]
    if wanted == "all":
        return tuple(known)
    chosen: list[Device] = []
    for word in wanted.split(","):
        name = word.strip()
        found = [device for device in known if _is(device, name)]
        if not found or (not name.isdigit() and len(found) > 1):
            choices = ", ".join(f"{device.index} ({device.uuid}, {device.name})" for device in known) or "none"
            what = "means several GPUs" if found else "is not a GPU of this machine"
            raise UsageError(f"{name!r} {what}", hint=f"choose from: {choices}; or use --gpus all, --gpus none")
        chosen += [device for device in found if device not in chosen]
    return tuple(chosen)


def _is(device: Device, name: str) -> bool:
    if name.isdigit():
        return device.index == int(name)
    return len(name) >= 8 and device.uuid.lower().startswith(name.lower())


def _devices(gpu: Gpu) -> tuple[Device, ...]:
    def of(uuid: str, name: str, memory_bytes: int, part: Mig | None = None) -> Device:
        return Device(
            index=gpu.index,
            uuid=uuid,
            name=name,
            memory_bytes=memory_bytes,
            capability=gpu.capability,
            minor=gpu.minor,
            caps=part.caps if part else (),
        )

    if gpu.mig_mode:
        # A GPU in MIG mode computes only through its instances.
        return tuple(of(part.uuid, f"{gpu.name} (part)", part.memory_bytes, part) for part in gpu.mig)
    return (of(gpu.uuid, gpu.name, gpu.memory_bytes),)


def _runtime_way(machine: Machine) -> Way:
    engine = machine.engine
    if machine.nvidia.hook or (engine and "nvidia" in engine.runtimes):
        return Way(mode="runtime")
    return Way(
        mode="runtime",
        lacks="NVIDIA's container toolkit is not installed",
        remedy="install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker && "
        "sudo systemctl restart docker",
    )


def _cdi_way(machine: Machine) -> Way:
    engine, specs = machine.engine, machine.nvidia.cdi
    make = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
    if not specs:
        return Way(mode="cdi", lacks="no CDI spec for NVIDIA is in /etc/cdi or /var/run/cdi", remedy=make)
    if all(spec.missing for spec in specs):
        first = specs[0]
        lacks = f"{first.path} names {first.missing[0]}, which does not exist: the spec was made for another driver"
        return Way(mode="cdi", lacks=lacks, remedy=make)
    if engine is None or engine.kind == "podman":
        return Way(mode="cdi")
    major = int(engine.version.partition(".")[0] or 0) if engine.version[:1].isdigit() else 0
    if major < _MIN_CDI:
        return Way(
            mode="cdi",
            lacks=f"Docker {engine.version} does not support CDI",
            remedy=f"update Docker to {_MIN_CDI} or newer",
        )
    if not engine.cdi_folders:
        return Way(
            mode="cdi",
            lacks="CDI is disabled in the engine",
            remedy='put {"features": {"cdi": true}} into /etc/docker/daemon.json, then: sudo systemctl restart docker',
        )
    return Way(mode="cdi")


def _direct_way(machine: Machine) -> Way:
    nvidia, engine = machine.nvidia, machine.engine
    from devenv.doors.machine.nvidia import NEEDED  # imported only here, because most environments have no GPU

    paths = {node.path for node in nvidia.nodes}
    if engine and (engine.rootless or engine.user_remapped):
        why = "is rootless" if engine.rootless else "remaps users"
        return Way(
            mode="direct", lacks=f"the engine {why} and cannot give device nodes", remedy=_cdi_way(machine).remedy
        )
    if "/dev/dxg" in paths:
        if any("libcuda.so" in name for library in nvidia.libraries for name in library.names):
            return Way(mode="direct")
        return Way(mode="direct", lacks="/usr/lib/wsl/lib contains no libcuda", remedy="run in Windows: wsl --update")
    absent = [node for node in _CONTROL if node not in paths]
    absent += [f"/dev/nvidia{gpu.minor}" for gpu in nvidia.gpus if f"/dev/nvidia{gpu.minor}" not in paths]
    if absent:
        return Way(
            mode="direct",
            lacks=f"the device node {absent[0]} does not exist",
            remedy="make the driver's device nodes: sudo nvidia-modprobe -u -c=0",
        )
    lost = [library for library in NEEDED if not any(library in name for lib in nvidia.libraries for name in lib.names)]
    if lost:
        return Way(
            mode="direct",
            lacks=f"the driver's {lost[0]} of version {nvidia.driver} was not found",
            remedy="install the driver's compute libraries (libcuda1 or libnvidia-compute, of the same version), "
            "or NVIDIA's container toolkit",
        )
    return Way(mode="direct")


def _by_runtime(machine: Machine, devices: tuple[Device, ...]) -> Access:
    uuids = tuple(device.uuid for device in devices)
    if machine.nvidia.hook:
        request = DeviceRequest(driver="nvidia", ids=uuids, capabilities=("gpu", "compute", "utility"))
        return Access(mode="runtime", devices=devices, requests=(request,), environment=_facts("runtime"))
    # Newer toolkits register no hook for `--gpus`: the runtime itself reads these variables.
    variables = (("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"), ("NVIDIA_VISIBLE_DEVICES", ",".join(uuids)))
    return Access(mode="runtime", devices=devices, runtime="nvidia", environment=(*_facts("runtime"), *variables))


def _by_cdi(machine: Machine, devices: tuple[Device, ...]) -> Access:
    names = {name for spec in machine.nvidia.cdi if not spec.missing for name in spec.devices}
    if "all" in names and set(devices) == set(select(machine.nvidia, "all")):
        ids = ["all"]
    else:
        ids = []
        for device in devices:
            known = next(
                (name for name in (device.uuid, str(device.index), f"gpu{device.index}") if name in names), None
            )
            if known is None or (device.is_part and known != device.uuid):
                raise MachineError(
                    f"the CDI spec does not name GPU {device.index} ({device.uuid})",
                    hint="sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml --device-name-strategy=uuid "
                    "--device-name-strategy=index",
                )
            ids.append(known)
    request = DeviceRequest(driver="cdi", ids=tuple(f"nvidia.com/gpu={id_}" for id_ in ids))
    return Access(mode="cdi", devices=devices, requests=(request,), environment=_facts("cdi"))


def _directly(machine: Machine, devices: tuple[Device, ...]) -> Access:
    """The toolkit's work done here: nodes, libraries and nvidia-smi, each by itself.

    The libraries are mounted where every program's loader looks first by itself, the system's own folder,
    under the names they are loaded by: so they are found under sudo, in `docker exec` and with any environment.
    """
    nvidia = machine.nvidia
    paths = {node.path for node in nvidia.nodes}
    folder = f"/usr/lib/{_TRIPLETS.get(machine.architecture, 'x86_64-linux-gnu')}"
    mounts = [
        *(_file(library.source, f"{folder}/{name}") for library in nvidia.libraries for name in library.names),
        *(_file(program, f"/usr/bin/{program.rpartition('/')[2]}") for program in nvidia.programs),
        *(_file(socket, socket) for socket in nvidia.sockets),
    ]
    variables = list(_facts("direct"))
    parts = [device.uuid for device in devices if device.is_part]
    if "/dev/dxg" in paths:
        nodes = ["/dev/dxg"]
        mounts.append(_file(_WSL_DRIVERS, _WSL_DRIVERS))
        if len(devices) < len(nvidia.gpus):
            parts = [device.uuid for device in devices]  # one node for all GPUs: only CUDA itself can leave some out
    else:
        optional = [node for node in ("/dev/nvidia-uvm-tools",) if node in paths]
        own = dict.fromkeys(f"/dev/nvidia{device.minor}" for device in devices)
        caps = dict.fromkeys(cap for device in devices for cap in device.caps)
        nodes = [*_CONTROL, *optional, *own, *caps]
    if parts:
        variables.append(("CUDA_VISIBLE_DEVICES", ",".join(parts)))
    return Access(
        mode="direct", devices=devices, nodes=tuple(nodes), mounts=tuple(mounts), environment=tuple(sorted(variables))
    )


def _file(source: str, target: str) -> Mount:
    return Mount(kind="bind", source=source, target=target, read_only=True)


def _facts(mode: str) -> tuple[tuple[str, str], ...]:
    """The GPU facts for the entrypoint in the container."""
    return (("DEVENV_GPU", mode),)


def to_json(access: Access) -> dict[str, Any]:
    """For a container's label: enough to give the same GPUs again without examining the machine."""
    return dataclasses.asdict(access)


def from_json(value: Any) -> Access:
    """The value of `to_json`'s text. Raises ValueError for any other text."""
    return value_of(Access, value)
