"""Tags of this user's devenv, while an image is used and after it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from devenv.build import own_images
from devenv.errors import EngineError


def test_an_image_that_is_held_may_be_pruned_meanwhile(tmp_path: Path) -> None:
    tagged: list[str] = []

    def remove(_: str) -> None:
        raise EngineError("No such image")

    engine: Any = SimpleNamespace(tag=lambda _, name: tagged.append(name), remove_image=remove)
    with own_images.held("sha256:1", "x:", engine, tmp_path) as name:
        assert tagged == [name]
        assert own_images.is_own(tmp_path, name)
    assert not own_images.is_own(tmp_path, name)
