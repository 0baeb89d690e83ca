"""No registry is asked for what only an engine has, and none can put its own files in the place of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.doors.docker.local_tag import EDITOR_TAG
from tests.integration import hostileregistry
from tests.integration.conftest import Cli, docker
from tests.integration.secondengine import second_engine

pytestmark = pytest.mark.engine

_ENGINE = """\
set -eu
ip link set lo up
mount -t tmpfs tmpfs /run
{python} {registry} {requests} &
export HTTP_PROXY={mirror} HTTPS_PROXY={mirror}
exec dockerd --config-file {top}/daemon.json --data-root {top}/data --exec-root {top}/exec --pidfile {top}/pid \
    -H unix://{socket} --bridge none --iptables=false --ip6tables=false
"""


class Engine:
    """A second engine that reaches only a registry with an image for every name, as its mirror and its proxy."""

    def __init__(self, top: Path) -> None:
        self.top, self.socket, self._requests = top, top / "docker.sock", top / "requests"

    @property
    def requests(self) -> list[str]:
        """What the registry was asked for so far."""
        return self._requests.read_text().splitlines() if self._requests.exists() else []

    def docker(self, *arguments: str) -> str:
        return docker("-H", f"unix://{self.socket}", *arguments)


@pytest.fixture(scope="module", params=["classic", "containerd"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """One for each image store that Docker has."""
    top = Path(tempfile.mkdtemp(prefix="t-unasked-", dir="/var/tmp"))
    engine, mirror = Engine(top), f"http://127.0.0.1:{hostileregistry.PORT}"
    settings = {"features": {"containerd-snapshotter": request.param == "containerd"}, "registry-mirrors": [mirror]}
    (top / "daemon.json").write_text(json.dumps(settings))
    script = _ENGINE.format(
        python=sys.executable, registry=hostileregistry.__file__, requests=top / "requests", top=top,
        socket=engine.socket, mirror=mirror,
    )  # fmt: skip
    try:
        with second_engine(script, engine.socket, top / "log"):
            yield engine
    finally:
        shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, standalone: Path) -> Path:
    """The `python` preset's finished base as a tar."""
    target = tmp_path_factory.mktemp("base") / "base.tar"
    docker(
        "buildx",
        "build",
        "--network",
        "none",
        "--target",
        "base",
        "--output",
        f"type=tar,dest={target}",
        str(standalone),
    )
    return target


def _project(folder: Path, description: str) -> Path:
    """A preset on a base that only this engine has, with an editor that is made in no time."""
    folder.mkdir(exist_ok=True)
    archive = folder / "code-server.tar.gz"
    if not archive.exists():
        launcher = folder / "code-server"
        launcher.write_text("#!/bin/sh\n")
        package = folder / "package.json"
        package.write_text(json.dumps({"name": "code-server", "version": "1.0.0"}))
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(launcher, arcname="code-server-1.0.0/bin/code-server")
            packed.add(package, arcname="code-server-1.0.0/package.json")
    (folder / "devenv.yaml").write_text(
        f"name: t-unasked\ndescription: {description}\nbase:\n  image: t-unasked-base:1\npython: '3.11'\n"
        f"code_server:\n  version: 1.0.0\n  source: release\n  archive:\n    path: {archive.name}\n"
        f"    sha256: {hashlib.sha256(archive.read_bytes()).hexdigest()}\n"
        "smoke:\n  python:\n    run: [python3, --version]\n"
    )
    return folder


def test_no_registry_is_asked_for_a_name_of_ours(cli: Cli, engine: Engine, base: Path, tmp_path: Path) -> None:
    engine.docker("import", str(base), "t-unasked-base:1")
    there = Cli(tmp_path / "state")
    there.env |= {"DOCKER_HOST": f"unix://{engine.socket}"}
    project = _project(tmp_path / "t-unasked", "the first build makes the editor")
    there.ok("build", cwd=project)
    _project(project, "the second takes the one that was kept")
    built = there.ok("build", "--json", cwd=project).json()["image"]["reference"]
    assert EDITOR_TAG in engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}")
    box = engine.docker("create", built).strip()
    engine.docker("cp", f"{box}:/opt/code-server", str(tmp_path / "editor"))
    inside = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "editor").rglob("*")}
    assert inside == {"editor/bin", "editor/bin/code-server", "editor/package.json"}
    found = there.ok("verify", "--json", cwd=project).json()
    assert found["equal"] is True
    assert {"editor", "own"} <= {one["name"] for one in found["layers"]}
    there.ok("render", "-o", str(tmp_path / "rendered"), cwd=project)
    engine.docker("rm", box)
    engine.docker("rmi", built)
    with pytest.raises(AssertionError, match="No such image"):
        engine.docker("compose", "-f", str(tmp_path / "rendered/compose.yaml"), "create")
    assert engine.requests == []


def test_the_registry_answers_for_every_other_name(engine: Engine, tmp_path: Path) -> None:
    """That nothing was recorded would prove nothing if this engine never asked, or was never served."""
    (tmp_path / "Dockerfile").write_text("ARG IMAGE\nFROM ${IMAGE}\n")
    build = ["buildx", "build", "--output", f"type=local,dest={tmp_path / 'out'}", "--build-arg"]
    engine.docker(*build, "IMAGE=devenv/editor:1", str(tmp_path))
    assert (tmp_path / "out" / hostileregistry.PLANTED).exists()
    asked = engine.requests
    assert any("/v2/devenv/editor/manifests/" in request for request in asked)
    with pytest.raises(AssertionError, match="failed to resolve"):
        engine.docker(*build, f"IMAGE={EDITOR_TAG}1", str(tmp_path))
    assert engine.requests == asked, "not even where the engine has no such image"
