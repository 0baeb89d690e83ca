"""The same environment as an image that a careful person writes by hand (benchmarks/naive): apt-get, pip and npm over
the network, with the user's own mirrors and certificates as build secrets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.command import PREFIX, PRESET, Bench, call, docker

BASE = f"{PREFIX}plain"
_ROOT = Path(__file__).parents[1]
_NAIVE = Path(__file__).parent / "naive"
_SECRETS = ("apt", "ca", "npmrc", "pip")


def base(bench: Bench) -> None:
    """devenv's own base stage as an image without a history: what a registry's Debian image would be."""
    context, archive = bench.folder / "whole", bench.folder / "base.tar"
    bench.devenv("render", PRESET, "--with-artifacts", "-o", str(context))
    call(
        "docker", "buildx", "build", "--network", "none", "--target", "base", "--output", f"type=tar,dest={archive}",
        str(context),
    )  # fmt: skip
    docker("import", str(archive), BASE)
    archive.unlink()
    shutil.rmtree(context)


def write(folder: Path, bench: Bench) -> Path:
    """The build context below `folder`, and the secrets beside it: the same wheels, pinned. Returns the context."""
    place = folder / ".devcontainer"
    place.mkdir(parents=True, exist_ok=True)
    for source in (_NAIVE / "Dockerfile", _NAIVE / "start-ide", _NAIVE / "start-jupyter"):
        shutil.copy(source, place / source.name)
    preset = bench.devenv("show", PRESET, "--json").json()["preset"]
    package = preset["files"]["/usr/local/lib/devenv-ocr/ocr"]
    shutil.copytree(package, place / "ocr", ignore=shutil.ignore_patterns("__pycache__"))
    lock = json.loads((_ROOT / "presets" / PRESET / "devenv.lock").read_text())
    (place / "requirements.txt").write_text("".join(f"{one['name']}=={one['version']}\n" for one in lock["wheels"]))
    for name, text in _secrets(bench).items():
        secret = folder / name
        secret.write_text(text)
        secret.chmod(0o600)
    return place


def secret_options(folder: Path) -> list[str]:
    """The build's options that hand the secrets over."""
    return [f"--secret=id={one},src={folder / one}" for one in _SECRETS]


def build(folder: Path, tag: str) -> float:
    """Build it with the same BuildKit, in the host's network, which engines without a bridge have, too; seconds."""
    return call(
        "docker", "buildx", "build", "--network", "host", "--load", "--tag", tag, f"--build-arg=BASE={BASE}",
        *secret_options(folder), str(folder / ".devcontainer"),
    ).seconds  # fmt: skip


def _secrets(bench: Bench) -> dict[str, str]:
    """What the user's own tools are configured with, as the files that these tools read."""
    import ssl

    from devenv.doors.dirs import Dirs
    from devenv.doors.settings.apt_archives import apt_sources
    from devenv.doors.settings.settings import Settings

    settings = Settings.read(Dirs(cache=bench.cache, state=bench.folder, config=bench.folder))
    sources = apt_sources(settings, "debian", "bookworm")
    apt = [f"deb {one.uri} {suite} {' '.join(one.components)}\n" for one in sources for suite in one.suites]
    pip = settings.pip
    indexes = [one for one in pip.extra_indexes if one.startswith("http")]
    lines = ["[global]", *([f"index-url = {pip.index}"] if pip.index else [])]
    lines += [f"extra-index-url = {' '.join(indexes)}"] if indexes else []
    bundle = settings.ca_bundle or Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
    npm = settings.npm
    npmrc = [f"registry={npm.registry}"] if npm.registry else []
    return {
        "apt": "".join(apt),
        "ca": bundle.read_text(),
        "npmrc": "\n".join([*npmrc, *(f"{scope}:registry={url}" for scope, url in npm.scopes), ""]),
        "pip": "\n".join([*lines, ""]),
    }
