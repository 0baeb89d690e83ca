"""The images that were made from snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devenv.build import own_images
from devenv.build.delta import SNAPSHOT_LABEL
from devenv.errors import EngineError
from devenv.snapshot.images import remove_images


class Engine:
    """Three images of snapshots; a container uses the last."""

    def __init__(self) -> None:
        self.of = {"devenv/x:1-a": "one", "devenv/x:1-b": "two", "devenv/x:1-c": "one", "devenv/x:2": ""}

    def images(self, prefix: str) -> list[tuple[str, str, int]]:
        return [(tag, tag, 1) for tag in self.of if tag.startswith(prefix)]

    def image_labels(self, tag: str) -> dict[str, str]:
        return {SNAPSHOT_LABEL: self.of[tag]} if self.of[tag] else {}

    def remove_image(self, tag: str) -> None:
        if tag.endswith("c"):
            raise EngineError("in use")
        del self.of[tag]


def test_only_this_users_images_of_that_snapshot_go(tmp_path: Path) -> None:
    engine: Any = Engine()
    own_images.keep(tmp_path, ["devenv/x:1-a", "devenv/x:1-b", "devenv/x:1-c"])
    assert remove_images("one", engine, tmp_path) == ("devenv/x:1-a",)
    assert set(engine.of) == {"devenv/x:1-b", "devenv/x:1-c", "devenv/x:2"}
    assert not own_images.is_own(tmp_path, "devenv/x:1-a")
    assert own_images.is_own(tmp_path, "devenv/x:1-c"), "prune finds it later"


def test_images_of_others_stay(tmp_path: Path) -> None:
    engine: Any = Engine()
    assert remove_images("one", engine, tmp_path) == ()
    assert len(engine.of) == 4


def test_without_an_engine_there_is_nothing_to_remove(tmp_path: Path) -> None:
    class Gone:
        def images(self, _: str) -> None:
            raise EngineError("no engine")

    gone: Any = Gone()
    assert remove_images("one", gone, tmp_path) == ()
