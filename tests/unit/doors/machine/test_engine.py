"""The engine's facts, from what engines answer."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.dirs import Dirs
from devenv.doors.docker import address as dockerhost
from devenv.doors.docker.address import Endpoint, Tls
from devenv.doors.docker.engine import connect
from devenv.doors.machine import engine
from devenv.doors.machine.engine import ask, facts, is_remote
from devenv.doors.machine.engine_facts import EngineFacts
from devenv.doors.machine.gather import assemble
from devenv.doors.machine.model import Nvidia
from devenv.doors.settings.config_yaml import HubSettings
from devenv.doors.settings.settings import Settings
from devenv.errors import EngineError


def test_docker() -> None:
    info = {
        "ServerVersion": "28.3.0", "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]],
        "DockerRootDir": "/var/lib/docker", "CgroupVersion": "2", "Runtimes": {"runc": {}, "nvidia": {}},
        "CDISpecDirs": ["/etc/cdi"], "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
        "MemTotal": 8, "MemoryLimit": False,
    }  # fmt: skip
    found = facts(info, {"Components": [{"Name": "Engine"}]}, address="unix:///x", buildx="0.25")
    assert (found.kind, found.version, found.storage, found.backing) == ("docker", "28.3.0", "overlay2", "extfs")
    assert (found.rootless, found.remote, found.memory_limit) == (True, False, False)
    assert (found.runtimes, found.cdi_folders, found.security) == (
        ("nvidia", "runc"), ("/etc/cdi",), ("seccomp", "rootless"),
    )  # fmt: skip


def test_podman() -> None:
    found = facts({"Driver": "overlay"}, {"Version": "4.9.3", "Components": [{"Name": "Podman Engine"}]}, address="")
    assert (found.kind, found.version) == ("podman", "4.9.3")


@pytest.mark.parametrize(
    ("address", "remote"),
    [
        ("unix:///var/run/docker.sock", False),
        ("tcp://127.0.0.1:2375", False),
        ("tcp://localhost:2375", False),
        ("tcp://build.example.org:2376", True),
        ("ssh://me@build.example.org", True),
    ],
)
def test_where_an_engine_is(address: str, remote: bool) -> None:
    assert is_remote(address) is remote


def _refuse(*_: object) -> object:
    raise EngineError("no engine answers", hint="start it")


def test_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"/info": {"ServerVersion": "28.3.0"}, "/version": {}}
    monkeypatch.setattr(dockerhost, "ask", lambda _, path: answers[path])
    monkeypatch.setattr(engine, "check_buildx", lambda: "0.25")
    found = ask(lambda: Endpoint(address="unix:///x"), _refuse)  # type: ignore[arg-type]
    assert (found.version, found.buildx, found.problem) == ("28.3.0", "0.25", "")
    monkeypatch.setattr(engine, "check_buildx", _refuse)
    assert ask(lambda: Endpoint(address="unix:///x"), _refuse).buildx_problem == "no engine answers; start it"  # type: ignore[arg-type]


def test_asking_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> object:
        raise ConnectionRefusedError

    monkeypatch.setattr(engine, "check_buildx", lambda: "0.25")
    monkeypatch.setattr(dockerhost, "ask", nobody)
    for where in (lambda: Endpoint(address="unix:///nowhere"), _refuse):
        found = ask(where, _refuse)  # type: ignore[arg-type]
        assert (found.problem, found.remedy) == ("no engine answers", "start it")


def test_tls_that_cannot_be_used_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "check_buildx", lambda: "0.25")
    over_tls = Endpoint(address="tcp://127.0.0.1:1", tls=Tls(folder=tmp_path))
    assert ask(lambda: over_tls, lambda: connect(over_tls)).problem.startswith("the CA certificate")


def test_a_folder_of_the_engines_that_cannot_be_seen_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, real = tmp_path / "hidden" / "docker", os.stat

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(str(hidden.parent)):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    dirs = Dirs(cache=tmp_path, state=tmp_path, config=tmp_path)
    settings = Settings(dirs=dirs, uid=1, gid=1, arch="amd64", hubs=HubSettings(dir=tmp_path))
    monkeypatch.setattr(os, "stat", stat)
    found = assemble(settings, engine=EngineFacts(address="unix:///x", root=str(hidden)), nvidia_=Nvidia())
    assert found.images_disk is None
    assert found.store_disk is not None
