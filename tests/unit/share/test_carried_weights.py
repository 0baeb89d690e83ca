"""A model's files in an export, from one store of weights into another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devenv.errors import UsageError
from devenv.share import carried_weights
from devenv.up.session import Session
from tests.unit import examples
from tests.unit.share import exported
from tests.unit.share.models import CONTENTS, FILES, LOCK, MODEL, filled, session, store


@pytest.fixture
def mine(tmp_path: Path) -> Session:
    """With the whole model."""
    return filled(tmp_path / "mine")


def _take_in(path: Path, theirs: Session, mine: Session, **values: Any) -> tuple[int, int] | None:
    along = carried_weights.along(LOCK, store(mine))
    with exported.write(path, mine, along=(along,), **values).opened(theirs) as layout:
        return carried_weights.take_in(LOCK, layout.manifest(), layout, theirs)


@pytest.mark.parametrize("name", ["shop", "shop.tar"])
def test_a_model_goes_from_store_tostore(name: str, tmp_path: Path, mine: Session) -> None:
    theirs = session(tmp_path / "theirs")
    for _ in range(2):
        assert _take_in(tmp_path / name, theirs, mine) == (2, 0)
    weights = store(theirs)
    assert weights.present(MODEL)
    assert {path: (weights.folder(MODEL.key) / path).read_bytes() for path in CONTENTS} == CONTENTS
    assert not [*weights.parts(MODEL.key).iterdir()]
    assert not weights.confirmed(MODEL.key)  # a lock alone proves no hub's name


def test_what_is_left_out_is_counted_as_missing(tmp_path: Path, mine: Session) -> None:
    theirs = session(tmp_path / "theirs")
    assert _take_in(tmp_path / "shop.tar", theirs, mine, left_out=frozenset({FILES[1].sha256})) == (1, 1)
    assert [file.path for file in store(theirs).missing(MODEL)] == ["sub/model.safetensors"]


def test_a_model_that_is_not_here_is_not_exported(tmp_path: Path, mine: Session) -> None:
    with pytest.raises(UsageError, match=r"2 files of tiny-.* are not on this machine"):
        carried_weights.along(LOCK, store(session(tmp_path / "theirs")))
    with pytest.raises(UsageError, match="has no model's files"):
        carried_weights.along(examples.lock(), store(mine))


def test_an_export_without_weights_takes_none_in(tmp_path: Path, mine: Session) -> None:
    with exported.write(tmp_path / "shop", mine).opened(mine) as layout:
        assert carried_weights.take_in(LOCK, layout.manifest(), layout, mine) is None
