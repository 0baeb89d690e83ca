"""`devenv export` and `devenv import`: a changed environment goes through a file to another user and to another engine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Cli, Done, docker
from tests.integration.killing import dice, killed, kills
from tests.integration.secondengine import second_engine

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("cli")]

NAME = "t-export"
KILLS = kills(3)
_PRESET = f"""\
extends: python
name: {NAME}
code_server: null
jupyter: null
node: null
npm: null
smoke:
  kernel: null
  python:
    run: [python, --version]
"""
_ENGINE = """\
set -eu
mount -t tmpfs tmpfs /run
mkdir -p {top}/data
mount -t tmpfs -o size=3g tmpfs {top}/data
echo '{{"features": {{"containerd-snapshotter": true}}}}' > {top}/daemon.json
export DOCKER_RAMDISK=1
exec dockerd --config-file {top}/daemon.json --data-root {top}/data --exec-root {top}/exec --pidfile {top}/pid \
    -H unix://{top}/docker.sock --bridge none --iptables=false --ip6tables=false
"""


class Offline(Cli):
    """Another user, whose devenv runs where the only network interface is a dead loopback; nothing is in the caches."""

    def __init__(self, folder: Path, engine: str | None = None) -> None:
        super().__init__(folder / "state")
        self.env |= {"XDG_CACHE_HOME": str(folder / "cache")} | ({"DOCKER_HOST": engine} if engine else {})

    def command(self, *arguments: str) -> list[str]:
        return ["unshare", "--net", *super().command(*arguments)]

    def online(self, *arguments: str) -> Done:
        """With this machine's loopback, on which the environment's ports are."""
        runner = Cli(Path(self.env["XDG_STATE_HOME"]))
        runner.env = self.env
        return runner.ok(*arguments)

    def snapshots(self) -> list[str]:
        return [one["name"] for one in self.ok("snapshots", "list", "--json").json()]


def _forget() -> None:
    """Remove all images of the preset from this machine's engine."""
    if left := docker("images", "-q", "--filter", f"reference=devenv/{NAME}").split():
        docker("rmi", "-f", *left)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A user whose environment has something that its lock does not say."""
    assert os.getuid() == 0, "it makes namespaces and mounts: run this test as root"
    runner = Cli(tmp_path_factory.mktemp("here"))
    project = tmp_path_factory.mktemp("project")
    (project / "devenv.yaml").write_text(_PRESET)
    runner.ok("up", str(project))
    docker("exec", "-u", "dev", f"devenv-{NAME}", "sh", "-c", "echo mine > /home/dev/note")
    yield runner
    runner("down", "--volumes", NAME)
    _forget()


@pytest.fixture(scope="module")
def shop(here: Cli, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    """The environment as one file with all its sources, and export's report."""
    path = tmp_path_factory.mktemp("out") / "shop.tar"
    return path, here.ok("export", NAME, "-o", str(path), "--sources", "--json").json()


def test_skopeo_reads_the_file_and_the_folder(here: Cli, shop: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> None:
    path, told = shop
    folder = here.ok("export", str(path), "-o", str(tmp_path / "folder"), "--json").json()
    assert folder["digest"] == told["digest"]
    for name in (f"oci-archive:{path}", f"oci:{tmp_path / 'folder'}"):
        done = subprocess.run(["skopeo", "inspect", name], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["Digest"] == told["digest"]
    done = subprocess.run(
        ["skopeo", "copy", f"oci-archive:{path}", f"oci:{tmp_path / 'copy'}:1"], capture_output=True, check=True
    )
    assert {one["digest"] for one in json.loads((tmp_path / "copy/index.json").read_text())["manifests"]} == {
        told["digest"]
    }


def test_another_user_brings_it_up_without_a_network(
    here: Cli, shop: tuple[Path, Mapping[str, Any]], tmp_path: Path
) -> None:  # fmt: skip
    path, told = shop
    here.ok("down", "--volumes", NAME)
    _forget()
    there = Offline(tmp_path)
    taken = there.ok("import", str(path), "--json").json()
    assert (taken["digest"], taken["identity"]) == (told["digest"], told["identity"])
    assert taken["sources"] == {"files": told["files"], "offered": told["files"], "taken": told["files"], "missing": 0}
    assert there.ok("import", str(path)).out.strip() == taken["name"]  # again, and nothing is doubled
    assert there.snapshots() == [taken["name"]]
    # What it exports again was read out of the engine's image, and is the same.
    again = there.ok("export", taken["name"], "-o", str(tmp_path / "again.tar"), "--json").json()
    assert (again["digest"], again["identity"]) == (told["digest"], told["identity"])
    try:
        up = there.online("up", taken["name"], "--json").json()
        assert up["smoke"]["passed"]
        assert docker("exec", f"devenv-{NAME}", "cat", "/home/dev/note").strip() == "mine"
    finally:
        there.online("down", "--volumes", NAME)


def test_an_engine_with_the_containerd_store_takes_it_too(
    shop: tuple[Path, Mapping[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, told = shop
    top = tmp_path_factory.mktemp("t-engine")
    address = f"unix://{top}/docker.sock"
    with second_engine(_ENGINE.format(top=top), top / "docker.sock", top / "log"):
        docker("-H", address, "load", "-i", str(path))
        loaded = docker("-H", address, "images", "--digests", "--format", "{{.Repository}} {{.Digest}}").split()
        assert loaded == [f"devenv/{NAME}", told["digest"]]
        docker("-H", address, "rmi", *docker("-H", address, "images", "-q").split())
        there = Offline(top / "user", address)
        taken = there.ok("import", str(path), "--json").json()
        assert taken["digest"] == told["digest"]
        assert there.ok("verify", taken["image"], "--digest").out.strip() == told["identity"]


def test_docker_load_reads_the_file(shop: tuple[Path, Mapping[str, Any]]) -> None:
    _forget()
    said = docker("load", "-i", str(shop[0]))
    reference = said.partition("Loaded image: ")[2].strip()
    assert (
        docker("run", "--rm", "--network", "none", "--entrypoint", "cat", reference, "/home/dev/note").strip() == "mine"
    )


def test_what_is_damaged_is_refused_and_nothing_is_left(shop: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> None:
    path, _ = shop
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "altered.tar").write_bytes(data)
    (tmp_path / "truncated.tar").write_bytes(data[: len(data) // 2])
    there = Offline(tmp_path)
    for name in ("altered.tar", "truncated.tar"):
        done = there("import", str(tmp_path / name))
        assert (done.code, done.err.count("error:")) == (11, 1), done.err
        assert there.snapshots() == []


def test_a_full_disk_is_one_error_on_both_sides(
    here: Cli, shop: tuple[Path, Mapping[str, Any]], tmp_path: Path
) -> None:
    path, _ = shop
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)], check=True)
    try:
        there = Offline(tmp_path)
        there.env["XDG_CACHE_HOME"] = str(small)
        for done in (here("export", str(path), "-o", str(small / "shop.tar")), there("import", str(path))):
            assert done.code in (8, 11), done.err
            assert done.err.count("error:") == 1
            assert "disk" in done.err.lower() or "space" in done.err
        assert not (small / "shop.tar").exists()
        assert there.snapshots() == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_after_every_kill_the_next_run_goes_on(here: Cli, shop: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> None:
    path, told = shop
    (_, moments), there = dice(), Offline(tmp_path)
    recipe = tmp_path / "recipe.tar"
    export = ("export", str(path), "-o", str(recipe), "--recipe", "--sources", "--json")
    seconds = here(*export).seconds
    recipe.unlink()
    for _ in range(KILLS):
        killed(here, moments.uniform(0, seconds), *export)
        if recipe.exists():  # then it is whole
            Offline(tmp_path / "other").ok("import", str(recipe))
            recipe.unlink()
    assert here.ok(*export).json()["files"] == told["files"]
    assert not [*tmp_path.glob(".*")]
    for _ in range(KILLS):
        killed(there, moments.uniform(0, seconds), "import", str(recipe))
        assert len(there.snapshots()) <= 1
    taken = there.ok("import", str(recipe), "--json").json()
    assert (taken["image"], taken["sources"]["missing"]) == (None, 0)
    assert there.snapshots() == [taken["name"]]
