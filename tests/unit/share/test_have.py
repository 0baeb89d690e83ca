"""What a receiver has is left out, and comes from where it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.terminal.progress import Silent
from devenv.errors import ShareError
from devenv.lock.files import write
from devenv.share.formats import LAYER
from devenv.share.have import known
from devenv.up.session import Session
from tests.unit import examples
from tests.unit.share import exported

SMALL, BIG = (Descriptor.of(one, LAYER) for one in exported.LAYERS)


@pytest.fixture
def mine(tmp_path: Path) -> Session:
    return exported.session(tmp_path / "mine")


def test_a_locks_files_are_known(tmp_path: Path) -> None:
    lock = examples.lock()
    write(lock, tmp_path / "devenv.lock")
    assert known(tmp_path / "devenv.lock") == {file.sha256 for file in lock.artifacts()}


@pytest.mark.parametrize("old", ["old", "old.tar"])
@pytest.mark.parametrize("new", ["new", "new.tar"])
def test_what_an_earlier_export_has_is_left_out_and_comes_from_there(
    old: str, new: str, tmp_path: Path, mine: Session
) -> None:  # fmt: skip
    earlier = exported.write(tmp_path / old, mine).path
    assert {SMALL.hex, BIG.hex} <= known(earlier)
    place = exported.write(tmp_path / new, mine, left_out=known(earlier))
    assert sum(len(one) for one in exported.files(place.path).values()) < 10_000
    assert "manifest.json" not in exported.files(place.path)  # docker cannot load it
    with place.opened(mine) as layout:
        assert [one.digest for one in layout.lacks()] == [SMALL.digest, BIG.digest]
        with pytest.raises(ShareError, match=f"it lacks {SMALL.digest}") as caught:
            layout.bring([SMALL], mine.dirs.blobs, Silent())
    assert caught.value.hint
    assert "--with FILE" in caught.value.hint
    with dataclasses.replace(place, others=(earlier,)).opened(mine) as layout:
        assert layout.lacks() == ()
        layout.bring(layout.manifest().layers, mine.dirs.blobs, Silent())
    assert (mine.dirs.blobs / BIG.hex).read_bytes() == exported.LAYERS[1]


def test_only_layers_and_files_are_left_out(tmp_path: Path, mine: Session) -> None:
    earlier = exported.write(tmp_path / "old", mine).path
    again = exported.files(exported.write(tmp_path / "new", mine, left_out=known(earlier)).path)
    missing = exported.files(earlier).keys() - again.keys()
    assert missing == {f"blobs/sha256/{one.hex}" for one in (SMALL, BIG)}
