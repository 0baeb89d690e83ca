"""Which layer an image is said to have."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devenv.build.delta import SNAPSHOT_LABEL
from devenv.snapshot.bring_back import with_layer
from devenv.snapshot.store import Snapshots
from devenv.up.decide import Decided
from tests.unit.handmade import session, settings
from tests.unit.snapshot.test_store import _kept


@pytest.mark.parametrize(("label", "sha256"), [
    ("kept", "5" * 64), ("gone", None), ("../x", None), (None, None), ("no-layer", None),
])  # fmt: skip
def test_the_layer_is_that_of_the_snapshot_that_is_kept_here(label: Any, sha256: Any, tmp_path: Path) -> None:
    labels = {} if label is None else {SNAPSHOT_LABEL: label}
    engine = SimpleNamespace(image_labels=lambda _: labels)
    given = session(settings(tmp_path), engine)
    _kept(given.dirs.snapshots, "kept", layer_sha256="5" * 64)
    _kept(given.dirs.snapshots, "no-layer")
    none = cast("Any", None)
    found = with_layer(Decided(loaded=none, lock=none, plan=none), "i", given).delta
    assert (found and found.sha256) == sha256
    if found:
        assert found == Snapshots(given.dirs.snapshots).delta(Snapshots(given.dirs.snapshots).get("kept"))
        assert dataclasses.asdict(found)["snapshot"] == "kept"
