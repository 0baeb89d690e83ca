from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.dirs import Dirs
from devenv.doors.terminal.progress import Silent
from devenv.errors import LockError
from devenv.fetch.store import Store
from devenv.lock import files
from devenv.lock.model import Lock
from devenv.preset.load import LoadedPreset, load
from devenv.resolve import ensure
from devenv.resolve import resolver as room
from devenv.resolve.context import Context
from tests.unit.handmade import loaded, lock, preset, settings


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    return settings(tmp_path).dirs


def get(one: LoadedPreset, dirs: Dirs, root: Path) -> tuple[Lock, bool]:
    mine = dataclasses.replace(settings(root), dirs=dirs)
    return ensure.locked(one, lambda: Context(settings=mine, store=Store(root / "store"), progress=Silent()), mine)


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []

    def resolve(one: LoadedPreset, _: Context, **more: Any) -> Lock:
        calls.append(more)
        return lock(one.preset)

    monkeypatch.setattr(room, "resolve", resolve)
    return calls


def test_a_preset_without_a_lock_is_locked_the_first_time(tmp_path: Path, dirs: Dirs, resolved: list[Any]) -> None:
    one = loaded(preset(), tmp_path / "devenv.yaml")
    assert get(one, dirs, tmp_path) == (lock(preset()), False)
    assert get(one, dirs, tmp_path) == (lock(preset()), True)
    assert len(resolved) == 1
    assert [path.name for path in tmp_path.glob("*devenv*lock*")] == ["devenv.lock"]


def test_the_nearest_ancestors_lock_is_what_it_starts_from(tmp_path: Path, dirs: Dirs, resolved: list[Any]) -> None:
    far, near = tmp_path / "far/preset.yaml", tmp_path / "near/preset.yaml"
    files.write(lock(preset(name="far")), files.beside(far))
    one = loaded(preset(), tmp_path / "p/devenv.yaml", far, near)
    get(one, dirs, tmp_path)
    assert resolved[0]["parent"].preset == "far"
    files.write(lock(preset(name="near")), files.beside(near))
    assert files.parent_lock(one) == lock(preset(name="near"))
    files.beside(near).write_text("broken")
    assert files.parent_lock(one) == lock(preset(name="far"))


def test_a_stale_lock_is_refused_and_not_replaced(tmp_path: Path, dirs: Dirs, resolved: list[Any]) -> None:
    path = tmp_path / "devenv.lock"
    files.write(lock(preset()), path)
    before = path.read_text()
    with pytest.raises(LockError, match="stale") as caught:
        get(loaded(preset(python="3.12"), tmp_path / "devenv.yaml"), dirs, tmp_path)
    assert caught.value.where == str(path)
    assert path.read_text() == before
    assert resolved == []


@pytest.mark.timeout(60)
def test_a_lock_that_is_no_file_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "devenv.yaml").write_text("extends: python\n")
    os.mkfifo(tmp_path / "devenv.lock")
    nothing: Any = None
    with pytest.raises(LockError, match="it is a pipe"):
        ensure.locked(load(tmp_path / "devenv.yaml"), nothing, settings(tmp_path))
