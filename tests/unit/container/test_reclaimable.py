"""What could be had again on the disk, and how the engine tells its builder's cache."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devenv.container.reclaimable import Reclaimable, reclaimable
from devenv.doors.dirs import Dirs
from devenv.doors.docker.images import Images

ROWS = [
    {"Size": 5, "InUse": False, "Shared": False}, {"Size": 7, "InUse": True, "Shared": False},
    {"Size": 11, "InUse": False, "Shared": True}, {"Size": 13, "InUse": False, "Shared": False},
]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "expected"), [({"BuildCache": ROWS}, 18), ({"BuildCache": None}, None), ({}, None), (None, None)]
)
def test_layers_that_images_have_and_what_a_build_uses_do_not_count(
    told: object, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = cast("Any", object.__new__(Images))
    monkeypatch.setattr(Images, "_read", lambda *_: told)
    monkeypatch.setattr(Images, "_api", SimpleNamespace(df=None), raising=False)
    assert engine.build_cache_bytes() == expected


def test_a_folder_that_is_not_there_takes_nothing(tmp_path: Path) -> None:
    dirs = Dirs(cache=tmp_path / "none", state=tmp_path, config=tmp_path)
    engine = cast("Any", SimpleNamespace(build_cache_bytes=lambda: None))
    assert reclaimable(engine, dirs) == Reclaimable(stored=0, build_cache=None)
