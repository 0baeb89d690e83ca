"""An import's snapshot: its name, and the time that it states."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

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
