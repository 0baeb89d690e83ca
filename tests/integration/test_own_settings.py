"""What the user's docker client is set to decides nothing of a build, and is in no container's configuration."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.build.build import buildx
from devenv.doors.docker.address import Endpoint
from devenv.doors.docker.engine import Engine, connect
from devenv.doors.docker.values import ContainerSpec
from devenv.doors.terminal.progress import Silent
from tests.integration.conftest import docker

pytestmark = pytest.mark.engine
_SECRET = "t-settings-secret"
_IMAGE = "t-settings:1"
_NATIVE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine, for a user whose docker client has another builder, another platform and proxies with a password."""
    plugins = Path.home() / ".docker" / "cli-plugins"
    proxies = {"default": {"httpProxy": f"http://u:{_SECRET}@proxy.example:1", "allProxy": f"socks5://{_SECRET}"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies, "cliPluginsExtraDirs": [str(plugins)]}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    # Only its name is made: it would boot at its first build.
    docker("buildx", "create", "--name", "t-settings-other", "--driver", "docker-container", "--use")
    monkeypatch.setenv("BUILDX_BUILDER", "t-settings-gone")
    monkeypatch.setenv("DOCKER_CONTEXT", "t-settings-gone")
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", f"linux/{'arm64' if _NATIVE == 'amd64' else 'amd64'}")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    own = connect(Endpoint(address="unix:///var/run/docker.sock"))
    yield own
    own.remove("t-settings")
    if own.image_id(_IMAGE):
        own.remove_image(_IMAGE)


def test_settings_of_others_reach_no_build_and_no_container(engine: Engine, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    # BuildKit knows these arguments without a default; what the client hands over becomes a label.
    names = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
    labels = "".join(f"ARG {name}\nLABEL {name}=${{{name}}}\n" for name in names)
    (context / "Dockerfile").write_text(f'FROM scratch\nCOPY Dockerfile /\n{labels}CMD ["/none"]\n')
    buildx(["--load", "--tag", _IMAGE], context, engine, Silent())
    facts = engine.image_facts(_IMAGE)
    assert facts["Architecture"] == _NATIVE
    assert not facts["Created"].startswith("1970")
    assert _SECRET not in json.dumps(facts)

    spec = ContainerSpec(
        name="t-settings", image=_IMAGE, hostname="t-settings", environment=(("OWN", "1"),), labels=(), mounts=(),
        tmpfs=(), ports=(), shm_size_bytes=64 << 20,
    )  # fmt: skip
    engine.create(spec)
    shown = docker("--host", engine.address, "inspect", "t-settings")
    assert "OWN=1" in shown
    assert _SECRET not in shown
