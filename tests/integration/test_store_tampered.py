"""Files of the store that somebody wrote to: no image gets them, and no proof is made with them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.dirs import presets_dir
from devenv.fetch.store import Store
from devenv.lock.model import Artifact, Lock, read
from tests.integration.conftest import Cli

pytestmark = pytest.mark.engine
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
PRESET = """\
extends: python
name: t-tampered
apt: [tree]
smoke:
  kernel: null
"""


class World:
    """A project with its own store, which has the files of the `python` preset."""

    def __init__(self, cli: Cli, project: Path, cache: Path) -> None:
        self._cli = cli
        self.project = project
        self.env = {"XDG_CACHE_HOME": str(cache)}
        self.store = Store(cache / "devenv/store")

    def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
        return self._cli(*arguments, cwd=self.project, env={**self.env, **(env or {})})

    @property
    def lock(self) -> Lock:
        return read(self.project / "devenv.lock")


@pytest.fixture(scope="module")
def world(cli: Cli, up_python: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    del up_python  # the store has its files now
    full = Path(cli.ok("fetch", "python", "--json").json()["store"])
    cache = full.parents[1] / f"t-cache-{os.getpid()}"  # on the store's file system
    try:
        found = World(cli, tmp_path_factory.mktemp("tampered"), cache)
        for one in read(presets_dir() / "python/devenv.lock").artifacts():
            if Store(full).has(one):  # else it was locked anew, and `fetch` brings it
                found.store.path(one.sha256).parent.mkdir(parents=True, exist_ok=True)
                os.link(Store(full).path(one.sha256), found.store.path(one.sha256))
        shutil.copytree(full / "derived/base", found.store.root / "derived/base", copy_function=os.link)
        (found.project / "devenv.yaml").write_text(PRESET)
        assert found("lock").code == 0
        assert found("fetch").code == 0
        yield found
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def _tamper(store: Store, artifact: Artifact, *, hide: bool) -> None:
    """Other bytes of the same size, in a new file; with `hide` it gets the old file's times."""
    path = store.path(artifact.sha256)
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.unlink()
    path.write_bytes(data)
    if hide:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _tree(lock: Lock) -> Artifact:
    return next(deb for deb in lock.apt if deb.name == "tree")


def test_a_changed_file_is_not_built_in(world: World) -> None:
    """`up` notices it by its time and fetches it again."""
    _tamper(world.store, _tree(world.lock), hide=False)
    done = world("build", env=OFFLINE)
    assert done.code == 8, done.err
    assert _tree(world.lock).file in done.err
    assert world("fetch").code == 0


def test_a_changed_file_that_looks_untouched_is_refused_by_the_build(world: World) -> None:
    _tamper(world.store, _tree(world.lock), hide=True)
    done = world("build")
    assert done.code == 7, done.err
    assert f"{_tree(world.lock).file}: FAILED" in done.err


def test_a_proof_reads_every_file_again(world: World) -> None:
    wheel = next(one for one in world.lock.wheels if one.name == "jupyterlab")
    _tamper(world.store, wheel, hide=True)
    done = world("verify", "python", env=OFFLINE)
    assert done.code == 8, done.err
    assert wheel.file in done.err
    assert not world.store.path(wheel.sha256).exists()
