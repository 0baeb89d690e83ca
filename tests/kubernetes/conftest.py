"""Tests on a real cluster of three nodes, which `tools/kubernetes/bench.py` builds and starts: `make test-kubernetes`.

They are asked for by DEVENV_TEST_KUBERNETES, because the cluster takes minutes to build, root, and some gigabytes. They leave
environments on the local engine alone; their own are in namespaces of their own.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.registries import docker_registry

ASKED = bool(os.environ.get("DEVENV_TEST_KUBERNETES"))
collect_ignore_glob = [] if ASKED else ["test_*.py"]
ROOT = Path(__file__).parents[2]
BENCH = ROOT / "tools/kubernetes"
HOME = Path(os.environ.get("BENCH_HOME") or ROOT / ".venv/tools/kubernetes")
REGISTRY = int(os.environ.get("BENCH_PORT") or 16443) + 5
SETTINGS = {"cpu": "50m", "memory": "200Mi", "workspace_size": "100Mi", "data_size": "100Mi"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Cluster:
    """The cluster, and devenv's command line as a user has it who has this cluster alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **os.environ, "KUBECONFIG": str(HOME / "kubeconfig"), "PATH": f"{HOME / 'bin'}:{os.environ['PATH']}",
            "XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config"), "NO_COLOR": "1",
            "DEVENV_RELOCK": "1",
        }  # fmt: skip
        self.settings()

    def settings(self, **changes: Any) -> None:
        """The user's own settings for clusters."""
        path = self.folder / "config/devenv/config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        place = f"198.18.0.1:{REGISTRY}"
        settings = {**SETTINGS, "registry": f"{place}/team", **changes}
        path.write_text(json.dumps({"registries": {place: {"insecure": True}}, "kubernetes": settings}))

    def bench(self, *arguments: str) -> None:
        """A command of the bench."""
        env = {**os.environ, "BENCH_HOME": str(HOME)}
        subprocess.run(
            [sys.executable, "-B", BENCH / "bench.py", *arguments], env=env, check=True, stdout=subprocess.DEVNULL
        )

    def devenv(self, *arguments: str, cwd: Path | None = None) -> Done:
        """Run `devenv`."""
        began = time.monotonic()
        done = subprocess.run(
            self.command(*arguments), env=self.env, cwd=cwd, capture_output=True, text=True, check=False
        )
        return Done(code=done.returncode, out=done.stdout, err=done.stderr, seconds=time.monotonic() - began)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "devenv", *arguments]

    def ok(self, *arguments: str, cwd: Path | None = None) -> Done:
        done = self.devenv(*arguments, cwd=cwd)
        assert done.code == 0, f"{arguments} ended with {done.code}\n{done.err}"
        return done

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            ["kubectl", *arguments], env=self.env, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return found


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes and a registry that they pull from; gone at the end, unless the nodes were there before."""
    was_there = (HOME / "kubeconfig").exists()
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    found.bench("up", "3")
    with docker_registry(tmp_path_factory.mktemp("registry"), host="198.18.0.1", port=REGISTRY):
        yield found
    if not was_there:
        found.bench("down")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for one test; what was forwarded from it ends."""
    name = f"t-{secrets.token_hex(4)}"
    _recycle(cluster)
    cluster.kubectl("create", "namespace", name)
    cluster.settings()
    yield name
    for one in cluster.devenv("ps", "--on", f"k8s:bench/{name}", "--json").json():
        cluster.devenv("down", "--volumes", one["name"], "--on", f"k8s:bench/{name}")
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    _recycle(cluster)


def _recycle(cluster: Cluster) -> None:
    """Nobody makes volumes there: those of claims that are gone are emptied and offered again."""
    cluster.bench("recycle")
