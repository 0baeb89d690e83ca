"""What devenv brings to a box: its own files, and the packages that it needs, in the versions that are here."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import importlib.metadata
import platform
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from devenv import __version__
from devenv.doors import dirs, process, secret_file
from devenv.errors import TargetError
from devenv.remote.probe import Box, Python

if TYPE_CHECKING:
    from devenv.doors.settings.settings import Settings
    from devenv.fetch.store import Store

_PACKAGE = Path(__file__).resolve().parents[1]
_KIND = "box-packages"


@functools.cache
def own_files() -> Mapping[str, Path]:
    """devenv's own files: their place there to their path here."""
    found = {f"devenv/{path}": _PACKAGE / path for path in _below(_PACKAGE) if not path.startswith("_share/")}
    for top in ("templates", "presets"):
        folder = dirs.share_dir() / top
        found |= {f"devenv/_share/{top}/{path}": folder / path for path in _below(folder)}
    return dict(sorted(found.items()))


def _below(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix()


@functools.cache
def key() -> str:
    """The name of this devenv on a box: its version, and a hash of its files and of the versions of what it needs."""
    digest = hashlib.sha256("\n".join(pins()).encode())
    for name, path in own_files().items():
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"{__version__}-{digest.hexdigest()[:16]}"


def known_key(kept: Path) -> str:
    """The same, quickly: read from the file `kept`, unless a file of devenv or a package here changed since."""
    import click

    packages_folder = Path(click.__file__).parents[1]
    stamp = hashlib.sha256(f"{packages_folder}\0{packages_folder.stat().st_mtime_ns}\n".encode())
    for path in own_files().values():
        facts = path.stat()
        stamp.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    try:
        before, _, name = kept.read_text().strip().partition(" ")
    except OSError:
        before, name = "", ""
    if before == stamp.hexdigest() and name:
        return name
    secret_file.write(kept, f"{stamp.hexdigest()} {key()}\n")
    return key()


@functools.cache
def pins() -> tuple[str, ...]:
    """The packages that devenv needs, as they are installed here: `name==version`. Raises TargetError."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting: list[tuple[str, frozenset[str]]] = [("devenv", frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            facts = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise TargetError(
                f"the package {name} is not installed here, so it cannot be brought", hint="install devenv with pip"
            ) from None
        if name != "devenv":
            found[name] = facts.version
        for text in facts.requires or ():
            one = Requirement(text)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                waiting.append((canonicalize_name(one.name), frozenset(one.extras)))
    return tuple(f"{name}=={version}" for name, version in sorted(found.items()))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The Python and libc of a box, as uv names them."""

    python: str
    platform: str

    @classmethod
    def of(cls, box: Box, python: Python) -> Fit:
        """For that Python of the box. Raises TargetError for a system without wheels."""
        from devenv.resolve.wheels import platform as uv_platform

        arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(box.machine)
        if arch is None:
            raise TargetError(f"devenv does not run on {box.machine}", hint="take a target with x86_64 or aarch64")
        name = uv_platform(arch, f"{box.libc_version[0]}.{box.libc_version[1]}")
        if box.libc == "musl":
            name = f"{box.machine}-unknown-linux-musl"
        return cls(python=f"{python.version[0]}.{python.version[1]}", platform=name)


def packages(box: Box, python: Python, settings: Settings, store: Store) -> Mapping[str, Path]:
    """The files of all packages, their place there to their path here: those installed here where the box is of the
    same kind, else wheels for it from the user's indexes. Raises TargetError."""
    if is_alike(box, python) and (installed := _installed()) is not None:
        return installed
    fit = Fit.of(box, python)
    name = hashlib.sha256("\n".join((fit.python, fit.platform, *pins())).encode()).hexdigest()
    folder = store.derive(_KIND, name, lambda target: _install(target, fit, settings))
    return {path: folder / path for path in _below(folder)}


def is_alike(box: Box, python: Python) -> bool:
    """Whether what is installed here runs there, too."""
    libc, version = platform.libc_ver()
    here = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return (
        libc == box.libc == "glibc"
        and box.libc_version >= here
        and box.machine == platform.machine()
        and python.implementation == sys.implementation.name
        and python.version[:2] == sys.version_info[:2]
    )


def _installed() -> Mapping[str, Path] | None:
    """The files of the packages here; None where one was not installed from a wheel."""
    found: dict[str, Path] = {}
    for pin in pins():
        facts = importlib.metadata.distribution(pin.partition("==")[0])
        if not facts.files or facts.read_text("direct_url.json"):
            return None
        for file in facts.files:
            parts = file.parts
            if parts[:1] == ("..",):  # programs lie beside the packages: ../../../bin/uv
                parts = ("bin", "uv") if parts[-2:] == ("bin", "uv") else ()
            if not parts or "__pycache__" in parts:
                continue
            path = Path(str(facts.locate_file(file)))
            if path.is_file():
                found["/".join(parts)] = path
    return found


def _install(target: Path, fit: Fit, settings: Settings) -> None:
    import uv

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "uv.toml").touch()  # else uv reads settings of parent folders
        listed = Path(folder) / "requirements.txt"
        listed.write_text("\n".join(pins()) + "\n")
        command = (
            str(uv.find_uv_bin()), "pip", "install", "--target", str(target), "--python", sys.executable,
            "--python-version", fit.python, "--python-platform", fit.platform, "--only-binary", ":all:",
            "-r", str(listed),
        )  # fmt: skip
        try:
            process.run(command, cwd=Path(folder), env={**dict(settings.pip.uv_env), "UV_PYTHON_DOWNLOADS": "never"})
        except process.ProcessError as error:
            raise TargetError(
                f"devenv's packages cannot be had for Python {fit.python} on {fit.platform}",
                detail=error.outcome.err[-2000:],
                hint="indexes come from pip's and uv's own settings; a box with the same Python as here needs none",
            ) from None


def write(stream: IO[bytes], files: Mapping[str, Path]) -> int:
    """Write the files as a compressed tar; returns the bytes in it. Raises OSError."""
    total = 0
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for name, path in sorted(files.items()):
            facts = tarfile.TarInfo(f"lib/{name}")
            status = path.stat()
            facts.size, facts.mtime = status.st_size, int(status.st_mtime)
            facts.mode = 0o755 if status.st_mode & 0o100 else 0o644
            with path.open("rb") as file:
                archive.addfile(facts, file)
            total += facts.size
    return total
