"""A model's files in an export, from one store of weights into another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from devenv.errors import UsageError
from devenv.lock.model import LockedModel, ModelFile, ModelSource, files_digest
from devenv.share import carried_weights
from devenv.up.session import Session
from devenv.weights.store import Weights
from tests.unit import examples
from tests.unit.share import exported

CONTENTS = {"config.json": b"{}", "sub/model.safetensors": b"weights" * 1000}
FILES = tuple(
    ModelFile(path=path, size=len(data), sha256=examples.sha(data.decode())) for path, data in CONTENTS.items()
)
MODEL = LockedModel(
    name="tiny", digest=files_digest(FILES), files=FILES,
    sources=(ModelSource(hub="huggingface", id="me/tiny", revision="a" * 40),),
)  # fmt: skip
LOCK = examples.lock(model=MODEL)


def _session(root: Path) -> Session:
    mine = exported.session(root)
    hubs = dataclasses.replace(mine.settings.hubs, dir=root / "weights")
    return dataclasses.replace(mine, settings=dataclasses.replace(mine.settings, hubs=hubs))


def _store(session: Session) -> Weights:
    return Weights(session.settings.hubs.dir)


@pytest.fixture
def mine(tmp_path: Path) -> Session:
    """With the whole model."""
    session = _session(tmp_path / "mine")
    store = _store(session)
    store.begin(MODEL)
    for file in FILES:
        fresh = store.parts(MODEL.key) / "fresh"
        fresh.write_bytes(CONTENTS[file.path])
        store.put(MODEL, file, fresh)
    return session


def _take_in(path: Path, theirs: Session, mine: Session, **values: Any) -> tuple[int, int] | None:
    along = carried_weights.along(LOCK, _store(mine))
    with exported.write(path, mine, along=(along,), **values).opened(theirs) as layout:
        return carried_weights.take_in(LOCK, layout.manifest(), layout, theirs)


@pytest.mark.parametrize("name", ["shop", "shop.tar"])
def test_a_model_goes_from_store_to_store(name: str, tmp_path: Path, mine: Session) -> None:
    theirs = _session(tmp_path / "theirs")
    for _ in range(2):
        assert _take_in(tmp_path / name, theirs, mine) == (2, 0)
    store = _store(theirs)
    assert store.present(MODEL)
    assert {path: (store.folder(MODEL.key) / path).read_bytes() for path in CONTENTS} == CONTENTS
    assert not [*store.parts(MODEL.key).iterdir()]
    assert not store.confirmed(MODEL.key)  # a lock alone proves no hub's name


def test_what_is_left_out_is_counted_as_missing(tmp_path: Path, mine: Session) -> None:
    theirs = _session(tmp_path / "theirs")
    assert _take_in(tmp_path / "shop.tar", theirs, mine, left_out=frozenset({FILES[1].sha256})) == (1, 1)
    assert [file.path for file in _store(theirs).missing(MODEL)] == ["sub/model.safetensors"]


def test_a_model_that_is_not_here_is_not_exported(tmp_path: Path, mine: Session) -> None:
    with pytest.raises(UsageError, match=r"2 files of tiny-.* are not on this machine"):
        carried_weights.along(LOCK, _store(_session(tmp_path / "theirs")))
    with pytest.raises(UsageError, match="has no model's files"):
        carried_weights.along(examples.lock(), _store(mine))


def test_an_export_without_weights_takes_none_in(tmp_path: Path, mine: Session) -> None:
    with exported.write(tmp_path / "shop", mine).opened(mine) as layout:
        assert carried_weights.take_in(LOCK, layout.manifest(), layout, mine) is None
