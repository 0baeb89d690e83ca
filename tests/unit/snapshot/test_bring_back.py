"""Which layer an image is said to have."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devenv.build.delta import SNAPSHOT_LABEL
from devenv.plan.plan import plan
from devenv.snapshot import bring_back
from devenv.snapshot.bring_back import with_layer
from devenv.snapshot.store import Snapshots
from devenv.up.decide import Decided
from tests.unit import examples
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


@pytest.mark.parametrize(("image", "is_here", "uses"), [
    ("-pulled-1", True, True), ("-pulled-1", False, False), ("", True, False), ("other", True, False),
])  # fmt: skip
def test_an_imported_image_is_used_while_the_engine_has_it(
    image: str, is_here: bool, uses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never an image of another plan, whatever the record says."""
    own = plan(examples.loaded(), examples.lock())
    tag = f"{own.image}{image}" if image.startswith("-") else image
    given = session(settings(tmp_path), SimpleNamespace(image_id=lambda _: "sha256:1" if is_here else None))
    made = Decided(loaded=examples.loaded(), lock=examples.lock(), plan=own)
    monkeypatch.setattr(bring_back, "decide", lambda *_: made)
    _kept(given.dirs.snapshots, "kept", image=tag)
    kept = Snapshots(given.dirs.snapshots).get("kept")
    assert bring_back.decided(kept, given).plan.image == (tag if uses else own.image)
