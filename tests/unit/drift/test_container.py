from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from devenv.container.labels import Running
from devenv.doors.docker.values import ContainerFacts
from devenv.drift.container import container_items
from devenv.drift.items import Item


def running(**changes: Any) -> Running:
    facts = ContainerFacts(
        id="c", name="devenv-t", image="i", state="running", exit_code=0, started_at="", labels={}, ports=(), mounts=(),
        **{"network": "devenv-t", **changes},
    )  # fmt: skip
    return Running(
        name="t", facts=facts, preset="python", lock_digest="l", spec_digest="s", project="", services=(), checks=(),
        named_ports=(),
    )  # fmt: skip


def inspected(*, config: Any = None, host: Any = None, mounts: Any = (), networks: Any = ()) -> dict[str, Any]:
    return {
        "Config": {"Env": ["PATH=/bin", "DEVENV_UID=1000"], "Cmd": ["boot"], "User": "root", **(config or {})},
        "HostConfig": {"Memory": 0, "CapAdd": None, **(host or {})}, "Mounts": list(mounts),
        "NetworkSettings": {"Networks": dict.fromkeys(networks)},
    }  # fmt: skip


IMAGE = {"Config": {"Env": ["PATH=/bin"], "Cmd": ["boot"], "User": "root", "Entrypoint": None}}


def found(**changes: Any) -> list[Item]:
    return container_items(inspected(**changes), IMAGE, running(), variables=("CACHE",))


def test_what_devenv_gives_is_no_difference() -> None:
    mounts = [
        {"Destination": "/workspace", "Source": "/home/me/p"}, {"Destination": "/mnt/t", "Name": "devenv-t-data"},
        {"Destination": "/x", "Name": "devenv-t-own"}, {"Destination": "/models/m", "Name": "devenv-model-m"},
        {"Destination": "/home/me/p/.git", "Source": "/home/me/p/.git"},
    ]  # fmt: skip
    env = ["PATH=/bin", "DEVENV_GID=5", "CACHE=/c", "HF_HOME=/h"]
    assert found(config={"Env": env, "Entrypoint": []}, mounts=mounts, networks=("devenv-t", "bridge")) == []


@pytest.mark.parametrize(("role", "policy", "differs"), [
    ("workbench", "no", False), ("workbench", "unless-stopped", True),
    ("serve", "unless-stopped", False), ("serve", "always", True), ("serve", "no", True),
])  # fmt: skip
def test_what_serves_comes_back_after_a_restart(role: str, policy: str, differs: bool) -> None:
    host = {"RestartPolicy": {"Name": policy}}
    mine = dataclasses.replace(running(), role=role)
    items = container_items(inspected(host=host), IMAGE, mine, variables=("CACHE",))
    assert [(one.name, one.now) for one in items] == ([("RestartPolicy", policy)] if differs else [])


@pytest.mark.parametrize(("changes", "name", "change"), [
    ({"config": {"Env": ["PATH=/bin", "TOKEN=hunter2"]}}, "variable TOKEN", "added"),
    ({"config": {"Env": ["PATH=/evil"]}}, "variable PATH", "changed"),
    ({"config": {"Env": []}}, "variable PATH", "removed"),
    ({"config": {"Env": None}}, "variable PATH", "removed"),
    ({"config": {"Cmd": ["sh"]}}, "Cmd", "changed"),
    ({"config": {"User": "dev"}}, "User", "changed"),
    ({"mounts": [{"Destination": "/host", "Source": "/"}]}, "mount /host", "added"),
    ({"mounts": [{"Destination": "/v", "Name": "other"}]}, "mount /v", "added"),
    ({"host": {"Privileged": True}}, "Privileged", "changed"),
    ({"host": {"CapAdd": ["SYS_ADMIN"]}}, "CapAdd", "changed"),
    ({"host": {"SecurityOpt": ["seccomp=unconfined"]}}, "SecurityOpt", "changed"),
    ({"host": {"PidMode": "host"}}, "PidMode", "changed"),
    ({"host": {"Memory": 1 << 30}}, "Memory", "changed"),
    ({"host": {"RestartPolicy": {"Name": "always"}}}, "RestartPolicy", "changed"),
    ({"networks": ("devenv-t", "other")}, "network other", "added"),
    ({"host": {"Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/x"}]}}, "device /dev/x", "added"),
    ({"host": {"PortBindings": {"1/tcp": [{"HostIp": "127.0.0.1"}], "2/tcp": [{"HostIp": ""}]}}}, "port 2/tcp", "added"),
    ({"mounts": [{"Destination": "/run/docker.sock", "Source": "/run/docker.sock"}]}, "mount /run/docker.sock", "added"),
])  # fmt: skip
def test_what_was_given_beside_is_named(changes: dict[str, Any], name: str, change: str) -> None:
    (item,) = found(**changes)
    assert (item.kind, item.name, item.change) == ("container", name, change)
    assert "hunter2" not in repr(item), "a value may be secret"
