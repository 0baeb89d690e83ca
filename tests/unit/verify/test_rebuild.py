"""What the proof says about two images."""

from __future__ import annotations

import pytest

from devenv.errors import DriftError
from devenv.verify.canonical import Layer
from devenv.verify.identity import Identity
from devenv.verify.rebuild import Difference, Verdict, differences
from devenv.verify.tar_entry import Entry


def _image(digest: str) -> Identity:
    return Identity(reference="devenv/demo:1", digest=digest, config={}, layers=())


def test_equal_images_are_no_drift() -> None:
    Verdict(image=_image("sha256:1"), rebuilt=_image("sha256:1"), differences=()).require_equal("mine")


def test_different_images_are_told_apart_from_changed_preset_files() -> None:
    one = Difference(path="/etc/x", layer="base", what="content")
    with pytest.raises(DriftError, match=r"mine is not what its preset and lock give: 1 difference$"):
        Verdict(image=_image("sha256:1"), rebuilt=_image("sha256:2"), differences=(one,)).require_equal("mine")
    with pytest.raises(DriftError, match="mine holds preset files that differ"):
        Verdict(image=_image("sha256:1"), rebuilt=_image("sha256:1"), differences=(), stated=False).require_equal(
            "mine"
        )


def test_another_identity_than_the_expected_one_is_drift() -> None:
    _image("sha256:1").require("sha256:1", "mine")
    with pytest.raises(DriftError, match="mine is sha256:1, not sha256:2"):
        _image("sha256:1").require("sha256:2", "mine")


def test_a_folder_in_other_layers_is_no_difference_and_a_file_is() -> None:
    def image(**layers: tuple[Entry, ...]) -> Identity:
        made = tuple(Layer(name=name, diff_id=name, size_bytes=0, entries=each) for name, each in layers.items())
        return Identity(reference="x", digest="sha256:1", config={"config": {}}, layers=made)

    def entry(path: str, kind: str) -> Entry:
        return Entry(path=path, kind=kind, mode=0o755, uid=0, gid=0)

    opt, file, more = entry("opt", "folder"), entry("opt/a", "file"), entry("opt/b", "file")
    found = [*differences(image(base=(opt, file), own=(opt, more)), image(base=(opt, file, more)))]
    assert found == [Difference(path="opt/b", layer="own", what="layer own → base")]
    assert [*differences(image(base=(opt, file), own=(opt,)), image(base=(opt, file)))] == []
