"""An import's snapshot: its name, and the time that it states."""

from __future__ import annotations

import datetime as dt
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from devenv.share import recipe, take_in
from devenv.snapshot.store import Snapshots


def _added(snapshot: str = "shop-1", made: str = "") -> recipe.Added:
    return recipe.Added(snapshot=snapshot, environment="shop", message="", made=made)


def test_a_snapshot_keeps_its_name_where_it_is_free_and_can_be_one(tmp_path: Path) -> None:
    kept = Snapshots(tmp_path)
    assert take_in._free_name("shop", _added("before-upgrade"), kept) == "before-upgrade"
    (tmp_path / "before-upgrade").mkdir()
    for name in ("before-upgrade", "python", "../x", "A B", "", "-x"):
        assert take_in._free_name("shop", _added(name), kept) == "shop-1"
    assert take_in._free_name("shop", None, kept) == "shop-1"


@pytest.mark.parametrize("made", ["", "yesterday", "\x1b[31m", "2026-11-27T02:26:17+00:00x"])
def test_what_is_no_time_is_not_taken_over(made: str) -> None:
    assert dt.datetime.fromisoformat(take_in._made(_added(made=made))).tzinfo
    assert take_in._made(_added(made="2026-11-27T02:26:17+00:00")) == "2026-11-27T02:26:17+00:00"


def test_a_presets_own_files_are_kept_whatever_their_names(tmp_path: Path) -> None:
    top, names = tmp_path / "recipe", (recipe.ADDED, recipe.LAYER, f"{recipe.VOLUMES}/x")
    for name in (recipe.PRESET, *names, *(f"workspace/{name}" for name in names)):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    shutil.copytree(top, tmp_path / "kept", ignore=partial(take_in._beside, top))
    kept = {path.relative_to(tmp_path / "kept").as_posix() for path in tmp_path.glob("kept/**/*") if path.is_file()}
    assert kept == {recipe.PRESET, *(f"workspace/{name}" for name in names)}


@pytest.mark.parametrize(
    ("config", "here", "image"), [(b"{}", True, "devenv/shop:1"), (b"{}", False, None), (None, True, None)]
)
def test_an_image_that_was_built_here_is_named(
    config: bytes | None, here: bool, image: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = SimpleNamespace(config=config, digest="sha256:1", identity="sha256:2")
    plan = SimpleNamespace(image="devenv/shop:1")
    monkeypatch.setattr(take_in, "look", lambda *_, **__: remote)
    monkeypatch.setattr(take_in, "decided", lambda *_: SimpleNamespace(elsewhere=None, plan=plan, lock=None))
    kept: list[str] = []
    monkeypatch.setattr(take_in, "_kept", lambda _, __, brought, ___: kept.append(brought))
    for part in ("sources", "carried_weights"):
        monkeypatch.setattr(take_in, part, MagicMock())
    engine = SimpleNamespace(image_id=lambda name: "sha256:3" if here and name == plan.image else None)
    session: Any = SimpleNamespace(engine=lambda: engine)
    assert take_in.take_in(MagicMock(), session, project=None).image == image
    assert kept == [""], "the snapshot holds an image only if it came along"
