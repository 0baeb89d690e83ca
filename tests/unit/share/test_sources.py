"""The lock's files in an export: what goes along, and what comes into the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.errors import FetchError
from devenv.lock.model import Lock
from devenv.share import sources
from devenv.share.along import Along
from devenv.share.formats import SOURCES
from devenv.share.layout import InLayout
from devenv.up.session import Session
from tests.unit import examples
from tests.unit.share import exported

LOCK = examples.lock()
EVERY = LOCK.artifacts()


@pytest.fixture
def mine(tmp_path: Path) -> Session:
    return exported.session(tmp_path / "mine")


@pytest.fixture
def theirs(tmp_path: Path) -> Session:
    return exported.session(tmp_path / "theirs")


def _take_in(place: InLayout, lock: Lock, theirs: Session) -> sources.Sources:
    with place.opened(theirs) as layout:
        return sources.take_in(lock, layout.manifest(), layout, theirs)


def test_all_files_of_the_lock_go_along_and_arrive(tmp_path: Path, mine: Session, theirs: Session) -> None:
    for file in EVERY:
        mine.store.receive([file.file.encode()], file)
    along = sources.along(LOCK, mine.store)
    assert {blob.descriptor.hex for blob in along.blobs} == {file.sha256 for file in EVERY}
    place = exported.write(tmp_path / "shop.tar", mine, along=(along,))
    got = _take_in(place, LOCK, theirs)
    assert (got.offered, got.taken, got.missing) == (len(EVERY), len(EVERY), ())
    assert theirs.store.missing(LOCK) == ()
    assert all(theirs.store.sound(file) for file in EVERY)
    assert _take_in(place, LOCK, theirs).taken == 0


def test_the_lock_alone_decides_what_comes_into_the_store(tmp_path: Path, mine: Session, theirs: Session) -> None:
    first, *_ = EVERY
    along = exported.along(first.file.encode(), b"something else", kind=SOURCES)
    got = _take_in(exported.write(tmp_path / "shop.tar", mine, along=(along,)), LOCK, theirs)
    assert (got.offered, got.taken, len(got.missing)) == (1, 1, len(EVERY) - 1)
    stored = [path.name for path in (theirs.store.root / "sha256").rglob("*") if path.is_file()]
    assert stored == [first.sha256]


def test_an_export_without_sources_offers_none(tmp_path: Path, mine: Session, theirs: Session) -> None:
    other = exported.along(EVERY[0].file.encode(), kind="application/x-other")
    got = _take_in(exported.write(tmp_path / "shop", mine, along=(other,)), LOCK, theirs)
    assert (got.offered, got.taken, len(got.missing)) == (0, 0, len(EVERY))


def test_the_store_refuses_other_bytes_and_keeps_nothing_of_them(mine: Session) -> None:
    file = EVERY[0]
    for data in (b"x" * file.size, file.file.encode()[:-1], b""):
        with pytest.raises(FetchError, match="not the file that was locked"):
            mine.store.receive([data], file)
    assert not mine.store.has(file)
    assert not [*(mine.store.root / "tmp").iterdir()]


def test_an_along_of_nothing_is_an_empty_list(tmp_path: Path, mine: Session) -> None:
    place = exported.write(tmp_path / "shop", mine, along=(Along(kind=SOURCES, blobs=()),))
    with place.opened(mine) as layout:
        (found,) = [one for one in layout.attached(layout.manifest()) if one.artifact_type == SOURCES]
    assert found.layers == ()
