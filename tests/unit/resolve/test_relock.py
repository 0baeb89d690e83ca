"""A preset locked again: what it starts from, what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.hubs import UnreachedError
from devenv.doors.terminal.progress import Silent
from devenv.errors import LockError, PresetError
from devenv.fetch.store import Store
from devenv.lock.files import beside, write
from devenv.lock.model import Lock, read
from devenv.preset.load import LoadedPreset
from devenv.resolve import resolver as room
from devenv.resolve.context import Context
from devenv.resolve.relock import earlier, relock
from tests.unit.handmade import deb, loaded, lock, preset, settings


@pytest.fixture
def one(tmp_path: Path) -> LoadedPreset:
    return loaded(preset(), tmp_path / "devenv.yaml")


def _context(root: Path) -> Context:
    return Context(settings=settings(root), store=Store(root / "store"), progress=Silent())


def test_the_earlier_lock_is_kept_in_mind_and_the_changes_are_against_it(
    one: LoadedPreset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def resolve(_: LoadedPreset, __: Context, **more: Any) -> Lock:
        given.append(more)
        return lock(one.preset, apt=(deb("git"), deb("curl"), deb("jq")))

    monkeypatch.setattr(room, "resolve", resolve)
    write(lock(one.preset), beside(one.path))
    before = earlier(one, tmp_path, warn=lambda _: None)
    done = relock(before, _context(tmp_path), upgrade=("git",))
    assert given == [{"upgrade": ("git",), "parent": None, "previous": lock(one.preset), "ask_hubs": True}]
    assert [(change.name, change.old) for change in done.changes] == [("jq", None)]
    assert read(done.path) == done.lock


def test_an_unreadable_lock_is_said_and_a_folder_in_its_place_refused(one: LoadedPreset, tmp_path: Path) -> None:
    said: list[str] = []
    beside(one.path).write_text("{")
    assert earlier(one, tmp_path, warn=said.append).lock is None
    assert len(said) == 1
    assert "locking again" in said[0]
    beside(one.path).unlink()
    assert earlier(one, tmp_path, warn=said.append).lock is None
    assert len(said) == 1
    beside(one.path).mkdir()
    with pytest.raises(LockError):
        earlier(one, tmp_path, warn=said.append)


def test_versions_that_cannot_work_together_are_refused_before_anything_is_resolved(tmp_path: Path) -> None:
    one = loaded(preset(torch="2.10.0", cuda="10.1"), tmp_path / "devenv.yaml")
    with pytest.raises(PresetError):
        earlier(one, tmp_path, warn=lambda _: None)


def test_an_unreached_hub_writes_nothing_and_names_the_way_without_it(
    one: LoadedPreset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreached(*_: Any, **__: Any) -> Lock:
        raise UnreachedError("no answer", hint="check the network")

    monkeypatch.setattr(room, "resolve", unreached)
    with pytest.raises(UnreachedError) as error:
        relock(earlier(one, tmp_path, warn=lambda _: None), _context(tmp_path))
    assert error.value.hint == "check the network; or lock without the model for now: devenv lock --without-model"
    assert not beside(one.path).exists()
