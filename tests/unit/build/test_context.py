from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from devenv.build import context
from devenv.build.context import assemble
from devenv.errors import FetchError, PresetError
from devenv.fetch import store as artifacts
from devenv.fetch.store import Store
from devenv.lock.model import Lock
from devenv.plan.plan import Plan, plan
from devenv.render.render import render
from tests.unit.examples import deb, extension, loaded, lock, npm


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store whose files hold their own names; the root file system is made up as well."""
    monkeypatch.setattr(
        context, "base_root", lambda packages, target: target.write_bytes(b"root of %d" % len(packages))
    )
    return Store(tmp_path / "store")


def _fill(store: Store, made: Lock) -> None:
    for one in made.artifacts():
        path = store.path(one.sha256)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one.file.encode())
            artifacts._stamp(path, one.sha256)


def _assemble(store: Store, target: Path, made: Lock | None = None, **changes: Any) -> Plan:
    made = made or lock()
    _fill(store, made)
    decided = plan(loaded(**changes), made)
    assemble(decided, render(decided), store, target)
    return decided


def _state(target: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(target).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in target.rglob("*") if path.is_file()
    }  # fmt: skip


def test_everything_the_dockerfile_mounts_is_there(store: Store, tmp_path: Path) -> None:
    import re

    target = tmp_path / "context"
    _assemble(store, target, lock(npm=npm(), extensions=(extension(),)))
    for source in re.findall(r"type=bind,source=([^,]+)", (target / "Dockerfile").read_text()):
        assert (target / source).exists(), source
    assert (target / "artifacts/base-root.tar").read_bytes() == b"root of 2"
    assert (target / "artifacts/wheels/1/pillow-1.0-py3-none-any.whl").exists()


def test_artifacts_are_links_not_copies(store: Store, tmp_path: Path) -> None:
    _assemble(store, tmp_path / "context")
    path = tmp_path / "context" / "artifacts/apt/0/git_1.0-1_amd64.deb"
    assert path.stat().st_nlink > 1


def test_a_second_time_changes_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "note.txt").write_text("one")
    _assemble(store, tmp_path / "context", workspace=str(tmp_path / "space"))
    before = _state(tmp_path / "context")
    _assemble(store, tmp_path / "context", workspace=str(tmp_path / "space"))
    assert _state(tmp_path / "context") == before


def test_what_is_no_longer_wanted_goes(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "context"
    _assemble(store, target)
    (target / "stray").mkdir()
    (target / "stray" / "file").write_text("x")
    (target / "link").symlink_to("/etc")
    _assemble(store, target, lock(apt=()))
    assert not (target / "artifacts/apt").exists()
    assert not (target / "stray").exists()
    assert not (target / "link").is_symlink()
    assert Path("/etc").is_dir()


def test_equal_size_never_means_equal_time(store: Store, tmp_path: Path) -> None:
    """BuildKit sends a file again only when its size or time differs."""
    space = tmp_path / "space"
    space.mkdir()
    (space / "note.txt").write_text("one")
    os.utime(space / "note.txt", ns=(0, 0))
    _assemble(store, tmp_path / "context", workspace=str(space))
    copied = tmp_path / "context" / "workspace" / "note.txt"
    before = copied.stat().st_mtime_ns
    (space / "note.txt").write_text("two")
    os.utime(space / "note.txt", ns=(0, 0))
    _assemble(store, tmp_path / "context", workspace=str(space))
    assert copied.read_text() == "two"
    assert copied.stat().st_mtime_ns != before
    assert copied.stat().st_mtime_ns // 10**9 == before // 10**9, "the image's times, in seconds, stay"


def test_the_callers_umask_does_not_reach_the_image(store: Store, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        _assemble(store, tmp_path / "context")
    finally:
        os.umask(old)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "context").rglob("*") if path.is_dir()}
    assert modes == {0o755}
    assert (tmp_path / "context/image/usr/local/lib/devenv/entrypoint").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "context/image/etc/devenv/environment.json").stat().st_mode & 0o777 == 0o644


def test_a_missing_artifact_is_named(store: Store, tmp_path: Path) -> None:
    made = lock()
    _fill(store, made)
    store.path(made.apt[0].sha256).unlink()
    decided = plan(loaded(), made)
    with pytest.raises(FetchError, match=made.apt[0].file.replace("+", r"\+")):
        assemble(decided, render(decided), store, tmp_path / "context")


def test_with_files_the_folder_is_whole(store: Store, tmp_path: Path) -> None:
    made = lock()
    _fill(store, made)
    decided = plan(loaded(), made)
    rendered = render(decided, self_contained=True)
    assemble(decided, rendered, store, tmp_path / "context", with_files=True)
    assert rendered.differences(tmp_path / "context") == ""
    assert rendered.owns(tmp_path / "context")


# A finished base that the store keeps stands for its first stage.


def _keep(store: Store, made: Plan) -> Path:
    assert made.base is not None
    return store.derive("base", made.base, lambda path: path.write_bytes(b"the finished base"))


def test_a_kept_base_takes_the_place_of_its_packages(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "context"
    kept = _keep(store, _assemble(store, target))
    assert [path.name for path in (target / "artifacts/base").iterdir()] != ["SHA256SUMS"]
    _assemble(store, target)
    assert (target / "artifacts/base-root.tar").samefile(kept)
    assert [path.name for path in (target / "artifacts/base").iterdir()] == ["SHA256SUMS"]
    assert (target / "artifacts/base/SHA256SUMS").read_bytes() == b"", "there is nothing left to install"
    assert not list((store.root / "tmp").glob("new-*"))


@pytest.mark.parametrize("how", ["anew", "with_files"])
def test_a_base_is_made_from_its_packages_where_that_is_asked_for(store: Store, tmp_path: Path, how: str) -> None:
    decided = _assemble(store, tmp_path / "before")
    _keep(store, decided)
    target = assemble(decided, render(decided), store, tmp_path / "context", **{how: True})
    assert (target / "artifacts/base-root.tar").read_bytes() == b"root of 2"
    assert (target / "artifacts/base/SHA256SUMS").read_text().split()[1::2] == [
        one.file for one in decided.lock.base.packages
    ]
    assert len(list((target / "artifacts/base").glob("*.deb"))) == 2


def test_a_base_of_other_packages_is_not_taken(store: Store, tmp_path: Path) -> None:
    _keep(store, _assemble(store, tmp_path / "context"))
    newer = lock().base.model_copy(update={"packages": (deb("dash", "2.0-1"), deb("python3"))})
    _assemble(store, tmp_path / "context", lock(base=newer))
    assert (tmp_path / "context/artifacts/base-root.tar").read_bytes() == b"root of 2"
    assert (tmp_path / "context/artifacts/base/dash_2.0-1_amd64.deb").exists()


def test_a_large_file_of_the_presets_takes_no_memory(store: Store, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", 64 << 20)
    decided = plan(loaded(files={"/opt/large": str(tmp_path / "large")}), lock())
    _fill(store, decided.lock)
    rendered = render(decided)
    tracemalloc.start()
    try:
        assemble(decided, rendered, store, tmp_path / "context")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20
    assert (tmp_path / "context/files/0").stat().st_size == 64 << 20


@pytest.mark.timeout(60)
def test_a_file_of_the_presets_that_became_something_else(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "project").mkdir()
    path = tmp_path / "project" / "file"
    path.write_text("own")
    decided = plan(loaded(files={"/opt/file": str(path)}), lock())
    _fill(store, decided.lock)
    path.unlink()
    path.symlink_to("../secret")
    with pytest.raises(PresetError, match="a link that leads out of"):
        assemble(decided, render(decided), store, tmp_path / "context")
    assert not (tmp_path / "context/files/0").exists()
