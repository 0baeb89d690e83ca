"""What a container was given beside what devenv gives it: variables, mounts, rights, limits, networks. Pure.

Values may be secret, so a variable is told by its name alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from devenv.container.labels import HOST_MOUNT, Running
from devenv.drift.items import Item
from devenv.plan.inside import SERVE
from devenv.plan.role import RESTART

# Of `docker inspect`, HostConfig: what devenv leaves to the engine, with the values that mean so.
_LEFT: Mapping[str, tuple[Any, ...]] = {
    "Privileged": (False,), "CapAdd": (None, []), "CapDrop": (None, []), "SecurityOpt": (None, []), "PidMode": ("",),
    "UTSMode": ("",), "UsernsMode": ("",), "ExtraHosts": (None, []), "Dns": (None, []), "Links": (None, []),
    "VolumesFrom": (None, []), "GroupAdd": (None, []), "Sysctls": (None, {}), "Ulimits": (None, []),
    "Memory": (0,), "MemorySwap": (0, -1), "NanoCpus": (0,), "CpuQuota": (0,), "CpuShares": (0,), "CpusetCpus": ("",),
    "ReadonlyRootfs": (False,), "DeviceCgroupRules": (None, []), "Binds": (None, []),
}  # fmt: skip
_OF_MODELS = ("HF_HOME", "HF_HUB_OFFLINE", "MODELSCOPE_CACHE")


def container_items(
    facts: Mapping[str, Any], image: Mapping[str, Any], running: Running, *, variables: Collection[str]
) -> list[Item]:
    """The differences between `docker inspect` of a container and what its image and devenv give it; `variables` are
    the names that its preset gives at the start."""
    return [
        *_variables(facts, image, running, variables), *_command(facts, image), *_mounts(facts, running),
        *_options(facts, running), *_devices(facts, running), *_ports(facts), *_networks(facts, running),
    ]  # fmt: skip


def _variables(
    facts: Mapping[str, Any], image: Mapping[str, Any], running: Running, given: Collection[str]
) -> Iterator[Item]:
    own = {*given, *_OF_MODELS, *(dict(running.gpu.environment) if running.gpu else ())}
    before, after = _pairs(image["Config"].get("Env")), _pairs(facts["Config"].get("Env"))
    for name in sorted(before.keys() | after.keys()):
        if name in own or name.startswith("DEVENV_") or before.get(name) == after.get(name):
            continue
        change = "added" if name not in before else "removed" if name not in after else "changed"
        yield Item(kind="container", change=change, name=f"variable {name}")


def _pairs(env: Any) -> dict[str, str]:
    return dict(str(one).partition("=")[::2] for one in env or ())


def _command(facts: Mapping[str, Any], image: Mapping[str, Any]) -> Iterator[Item]:
    for key in ("Entrypoint", "Cmd", "User", "WorkingDir"):
        if (facts["Config"].get(key) or None) != (image["Config"].get(key) or None):
            yield Item(kind="container", change="changed", name=key)


def _mounts(facts: Mapping[str, Any], running: Running) -> Iterator[Item]:
    usual = {"/workspace", f"/mnt/{running.name}", HOST_MOUNT}
    usual |= {one.target for one in running.gpu.mounts} if running.gpu else set()
    for one in facts.get("Mounts") or ():
        target, source = one["Destination"], one.get("Name") or one.get("Source", "")
        is_own = target in usual or source.startswith((f"devenv-{running.name}-", "devenv-model-"))
        # A worktree and the git folder that it belongs to lie at their own paths.
        is_git = target == source and (source == running.project or source.endswith(".git"))
        if not is_own and not is_git:
            yield Item(kind="container", change="added", name=f"mount {target}", now=source)


def _options(facts: Mapping[str, Any], running: Running) -> Iterator[Item]:
    for key, usual in _LEFT.items():
        value = facts["HostConfig"].get(key, usual[0])
        if value not in usual:
            yield Item(kind="container", change="changed", name=key, now=str(value))
    policy = (facts["HostConfig"].get("RestartPolicy") or {}).get("Name") or "no"
    if policy != (RESTART if running.role == SERVE else "no"):
        yield Item(kind="container", change="changed", name="RestartPolicy", now=policy)


def _devices(facts: Mapping[str, Any], running: Running) -> Iterator[Item]:
    nodes = running.gpu.nodes if running.gpu else ()
    for one in facts["HostConfig"].get("Devices") or ():
        if one["PathOnHost"] not in nodes:
            yield Item(kind="container", change="added", name=f"device {one['PathInContainer']}", now=one["PathOnHost"])


def _ports(facts: Mapping[str, Any]) -> Iterator[Item]:
    """The ports that others than this machine reach."""
    for port, bindings in sorted((facts["HostConfig"].get("PortBindings") or {}).items()):
        for one in bindings or ():
            if one.get("HostIp") != "127.0.0.1":
                yield Item(
                    kind="container", change="added", name=f"port {port}", now=one.get("HostIp") or "all addresses"
                )


def _networks(facts: Mapping[str, Any], running: Running) -> Iterator[Item]:
    for name in sorted((facts.get("NetworkSettings") or {}).get("Networks") or ()):
        if name not in (running.facts.network, "bridge", "default"):
            yield Item(kind="container", change="added", name=f"network {name}")
