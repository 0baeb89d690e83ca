from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from devenv.doors import dirs as paths
from devenv.doors.dirs import Dirs
from devenv.errors import LockError
from devenv.lock import files
from devenv.lock.model import read
from devenv.preset.load import load
from tests.unit.handmade import loaded, lock, preset, settings


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    return settings(tmp_path).dirs


def test_the_lock_lies_beside_the_preset() -> None:
    assert files.beside(Path("/p/devenv.yaml")) == Path("/p/devenv.lock")
    assert files.beside(Path("/presets/x/preset.yaml")) == Path("/presets/x/devenv.lock")
    assert files.beside(Path("/p/gpu.yaml")) == Path("/p/gpu.lock")


def test_what_to_type_depends_on_the_preset() -> None:
    assert files.command(loaded(preset())) == "devenv lock"
    assert files.command(loaded(preset(name="python"), Path("/s/preset.yaml"), shipped=True)) == "devenv lock python"
    other = dataclasses.replace(loaded(preset(), Path("/a b/gpu.yaml")), project=None)
    assert files.command(other) == "devenv lock '/a b/gpu.yaml'"


def test_a_shipped_presets_new_lock_lies_in_the_users_folder_until_the_shipped_one_changes(
    tmp_path: Path, dirs: Dirs
) -> None:
    one = loaded(preset(), tmp_path / "preset.yaml", shipped=True)
    beside = files.beside(one.path)
    assert files.relocked_path(one, dirs) == beside, "none is shipped yet"
    files.write(lock(preset()), beside)
    mine = files.relocked_path(one, dirs)
    assert mine.parent == dirs.locks
    assert files.lock_path(one, dirs) == beside
    files.write(lock(preset()), mine)
    assert files.lock_path(one, dirs) == mine
    files.write(lock(preset(), apt=()), beside)
    assert files.lock_path(one, dirs) == beside, "a newer devenv ships another lock"


def test_a_lock_that_fits_is_read_and_a_stale_or_missing_one_is_refused(tmp_path: Path, dirs: Dirs) -> None:
    one = loaded(preset(), tmp_path / "devenv.yaml")
    with pytest.raises(LockError):
        files.read_fitting(one, dirs)
    files.write(lock(preset()), files.beside(one.path))
    assert files.read_fitting(one, dirs) == lock(preset())
    changed = dataclasses.replace(one, preset=preset(apt=("git", "jq")))
    with pytest.raises(LockError, match="stale") as error:
        files.read_fitting(changed, dirs)
    assert error.value.where == str(tmp_path / "devenv.lock")
    assert error.value.hint == "bring it up to date: devenv lock"


def test_a_users_relock_goes_beside_the_preset(tmp_path: Path, dirs: Dirs) -> None:
    one = loaded(preset(), tmp_path / "devenv.yaml")
    files.write(lock(preset()), files.beside(one.path))
    assert files.relocked_path(one, dirs) == tmp_path / "devenv.lock"


def test_a_lock_is_written_whole_with_the_users_own_mode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "devenv.lock"
    files.write(lock(preset()), path)
    assert read(path) == lock(preset())
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
    assert [one.name for one in path.parent.iterdir()] == ["devenv.lock"]


def test_the_same_text_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "devenv.lock"
    files.write(lock(preset()), path)
    before = path.stat().st_ino
    files.write(lock(preset()), path)
    assert path.stat().st_ino == before
    path.write_text("other")
    files.write(lock(preset()), path)
    assert read(path) == lock(preset())


def test_a_lock_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "devenv.lock").mkdir()
    for place, hint in ((tmp_path / "file/devenv.lock", "is a file"), (tmp_path / "devenv.lock", "move it away")):
        with pytest.raises(LockError, match="cannot write the lock") as caught:
            files.write(lock(preset()), place)
        assert hint in str(caught.value.hint)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("target", ["/dev/zero", None])
def test_the_lock_of_an_ancestor_that_is_no_file(target: str | None, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: python\n")
    (tmp_path / "devenv.yaml").write_text("extends: ./base.yaml\n")
    path = tmp_path / "base.lock"
    path.symlink_to(target) if target else os.mkfifo(path)
    assert files.parent_lock(load(tmp_path / "devenv.yaml")) == read(paths.presets_dir() / "python" / "devenv.lock")
