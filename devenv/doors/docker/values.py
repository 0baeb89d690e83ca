"""Containers and networks as values: their specification, and the engine's facts about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

# Threads count. The largest machines' libraries start thousands; a fork bomb ends here instead of on the host.
_MOST_PROCESSES = 32768
_SECOND = 1_000_000_000
# The engine's log keeps a line for every service that ends, which may be many.
_LOG = {"type": "json-file", "config": {"max-size": "10m", "max-file": "2"}}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A bind mount or a named volume (`source` is a name then)."""

    kind: str  # bind | volume
    source: str
    target: str
    read_only: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """Devices that the engine itself finds: `nvidia` (as `--gpus` asks) or `cdi` with qualified names as `ids`."""

    driver: str
    ids: tuple[str, ...]
    capabilities: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A command that the engine runs in a container from time to time; status 0 is healthy. Failures within the first
    `start_s` do not count."""

    command: tuple[str, ...]
    interval_s: int
    timeout_s: int
    retries: int
    start_s: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """The specification of a container. `ports`: (container port, host port), loopback only."""

    name: str
    image: str
    hostname: str
    environment: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    mounts: tuple[Mount, ...]
    tmpfs: tuple[tuple[str, str], ...]
    ports: tuple[tuple[int, int], ...]
    shm_size_bytes: int
    device_requests: tuple[DeviceRequest, ...] = ()
    devices: tuple[str, ...] = ()  # device nodes, at the same path inside
    runtime: str = ""  # the engine's default when empty
    network: str = ""  # the engine's default when empty
    health: HealthCheck | None = None
    restart: str = ""  # the engine's restart policy; empty: it restarts nothing
    once: tuple[str, ...] = ()
    """The program of a container that lives as long as that reads its input; the engine removes it at its end."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """A container as the engine sees it."""

    id: str
    name: str
    state: str  # created | running | paused | restarting | removing | exited | dead
    exit_code: int
    image: str
    labels: Mapping[str, str]
    ports: tuple[tuple[int, int], ...]  # container port → host port
    mounts: tuple[Mount, ...]
    started_at: str
    network: str = ""  # the name of the network that it was made for
    network_id: str = ""  # the id of the network that it is connected to under that name; empty before its first start
    is_cut_off: bool = False  # it was made for a network of its own name, and was disconnected from it


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """A network as the engine sees it."""

    id: str
    name: str
    labels: Mapping[str, str]


def host_options(spec: ContainerSpec) -> dict[str, Any]:
    """The arguments of the SDK's `create_host_config` for a container."""
    requests = [
        {"Driver": request.driver, "DeviceIDs": list(request.ids)}
        | ({"Capabilities": [list(request.capabilities)]} if request.capabilities else {})
        for request in spec.device_requests
    ]
    mounts = [{"Type": m.kind, "Source": m.source, "Target": m.target, "ReadOnly": m.read_only} for m in spec.mounts]
    return {
        "init": True,
        "shm_size": spec.shm_size_bytes,
        "port_bindings": {f"{inside}/tcp": ("127.0.0.1", outside) for inside, outside in spec.ports},
        "mounts": mounts,
        "tmpfs": dict(spec.tmpfs),
        "device_requests": requests or None,
        "devices": [f"{path}:{path}:rw" for path in spec.devices] or None,
        "runtime": spec.runtime or None,
        "pids_limit": _MOST_PROCESSES,
        "log_config": _LOG,
        "network_mode": spec.network or None,
        "auto_remove": bool(spec.once),
        "restart_policy": {"Name": spec.restart} if spec.restart else None,
    }


def health_options(check: HealthCheck | None) -> dict[str, Any] | None:
    """The SDK's `healthcheck` of a container; the engine counts in nanoseconds."""
    if check is None:
        return None
    return {
        "test": ["CMD", *check.command],
        "interval": check.interval_s * _SECOND,
        "timeout": check.timeout_s * _SECOND,
        "retries": check.retries,
        "start_period": check.start_s * _SECOND,
    }


def container_facts(raw: Mapping[str, Any]) -> ContainerFacts:
    """From the engine's answer to `inspect`."""
    network_settings = raw.get("NetworkSettings") or {}
    chosen = network_settings.get("Ports") or {}
    # Where the engine was to choose a port, it is known while the container runs.
    ports = {
        (int(inside.split("/")[0]), int(entry["HostPort"]))
        for inside, entries in (raw["HostConfig"].get("PortBindings") or {}).items()
        for asked in entries or ()
        for entry in ([asked] if asked.get("HostPort", "") not in ("", "0") else chosen.get(inside) or ())
        if entry.get("HostPort")
    }
    mounts = tuple(
        Mount(
            kind=m["Type"],
            source=m.get("Name") or m.get("Source", ""),
            target=m["Destination"],
            read_only=not m.get("RW", True),
        )
        for m in raw.get("Mounts") or ()
    )
    network = str(raw["HostConfig"].get("NetworkMode") or "")
    connected = network_settings.get("Networks") or {}
    return ContainerFacts(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        state=raw["State"]["Status"],
        exit_code=int(raw["State"].get("ExitCode") or 0),
        image=raw["Image"],
        labels=raw["Config"].get("Labels") or {},
        ports=tuple(sorted(ports)),
        mounts=mounts,
        started_at=raw["State"].get("StartedAt", ""),
        network=network,
        network_id=str((connected.get(network) or {}).get("NetworkID") or ""),
        is_cut_off=network == raw["Name"].lstrip("/") and network not in connected,
    )
