"""What the proof says about two images."""

from __future__ import annotations

import pytest

from devenv.errors import DriftError
from devenv.verify.identity import Identity
from devenv.verify.rebuild import Difference, Verdict


def _image(digest: str) -> Identity:
    return Identity(reference="devenv/demo:1", digest=digest, config={}, layers=())


def test_equal_images_are_no_drift() -> None:
    Verdict(image=_image("sha256:1"), rebuilt=_image("sha256:1"), differences=()).require_equal("mine")


def test_different_images_are_told_apart_from_changed_preset_files() -> None:
    one = Difference(path="/etc/x", layer="base", what="content")
    with pytest.raises(DriftError, match="mine is not what its preset and lock give: 1 differences"):
        Verdict(image=_image("sha256:1"), rebuilt=_image("sha256:2"), differences=(one,)).require_equal("mine")
    with pytest.raises(DriftError, match="mine holds preset files that differ"):
        Verdict(image=_image("sha256:1"), rebuilt=_image("sha256:1"), differences=(), stated=False).require_equal(
            "mine"
        )


def test_another_identity_than_the_expected_one_is_drift() -> None:
    _image("sha256:1").require("sha256:1", "mine")
    with pytest.raises(DriftError, match="mine is sha256:1, not sha256:2"):
        _image("sha256:1").require("sha256:2", "mine")
