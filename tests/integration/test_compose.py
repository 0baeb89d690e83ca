"""The rendered compose.yaml, brought up by docker compose (through pytest-docker)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pytest_docker.plugin import Services

from tests.integration.conftest import Cli, docker, get

pytestmark = pytest.mark.engine


@pytest.fixture(scope="session")
def docker_compose_file(tmp_path_factory: pytest.TempPathFactory, cli: Cli, up_python: Mapping[str, Any]) -> str:
    folder: Path = tmp_path_factory.mktemp("t-compose")
    folder.chmod(0o777)
    cli.ok("render", "python", "-o", str(folder))
    # Another environment may hold the usual ports: 0 lets the engine choose.
    os.environ["DEVENV_IDE_PORT"] = os.environ["DEVENV_JUPYTER_PORT"] = "0"
    return str(folder / "compose.yaml")


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    return "t-compose"


def test_compose_serves_both_pages_with_the_token_only(docker_ip: str, docker_services: Services) -> None:
    box = docker("ps", "-q", "--filter", "label=com.docker.compose.project=t-compose").strip()
    token = ""

    def ready() -> bool:
        nonlocal token
        try:
            token = docker("exec", box, "cat", "/run/devenv/token").strip()
            port = docker_services.port_for("environment", 8443)
            return get(f"http://{docker_ip}:{port}/", {"Authorization": f"Bearer {token}"})[0] in (200, 302)
        except (AssertionError, OSError):
            return False

    docker_services.wait_until_responsive(check=ready, timeout=60, pause=0.2)
    port = docker_services.port_for("environment", 8443)
    assert get(f"http://{docker_ip}:{port}/")[0] == 401
    assert get(f"http://{docker_ip}:{port}/?token={token}")[0] == 302
    assert "compose.yaml" in docker("exec", "-u", "dev", box, "ls", "/workspace").split()
