"""The model of an export comes before any hub, and the lock alone decides what is taken of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devenv.doors.http.registry.reference import Reference
from devenv.errors import FetchError
from devenv.share import model_pack
from devenv.share.along import Along
from devenv.share.formats import MODEL as MODEL_PACK
from devenv.share.layout import InLayout
from devenv.share.model_source import model_from
from devenv.share.place import InRegistry
from devenv.up.session import Session
from devenv.up.weights import fetch_model
from tests.unit.share import exported
from tests.unit.share.made import Memory
from tests.unit.share.models import CONTENTS, FILES, MODEL, filled, session, store


@pytest.fixture
def mine(tmp_path: Path) -> Session:
    return filled(tmp_path / "mine")


@pytest.fixture
def theirs(tmp_path: Path) -> Session:
    return session(tmp_path / "theirs")


def _fetch(place: InLayout, theirs: Session) -> None:
    fetch_model(MODEL, theirs, model_from=model_from(place, exported.top().digest))


def _artifact(mine: Session) -> Along:
    return model_pack.artifact(MODEL, store(mine).folder(MODEL.key))


@pytest.mark.parametrize("name", ["shop", "shop.tar"])
def test_up_of_an_export_takes_its_model_and_asks_no_hub(
    name: str, tmp_path: Path, mine: Session, theirs: Session
) -> None:
    place = exported.write(tmp_path / name, mine, along=(_artifact(mine),))
    _fetch(place, theirs)
    weights = store(theirs)
    assert weights.present(MODEL)
    assert {path: (weights.folder(MODEL.key) / path).read_bytes() for path in CONTENTS} == CONTENTS
    (stage,) = theirs.stages.reports()
    assert (stage.name, stage.cached) == ("weights", False)


def test_only_files_of_the_lock_are_taken_and_at_its_paths(tmp_path: Path, mine: Session, theirs: Session) -> None:
    honest = _artifact(mine)
    lying = [
        dataclasses.replace(
            blob, descriptor=dataclasses.replace(blob.descriptor, annotations=(("org.cncf.model.filepath", path),))
        )
        for blob, path in zip(honest.blobs, ("../../outside", "/etc/outside"), strict=True)
    ]
    more = [exported.blob(f"other {number}".encode()) for number in range(300)]
    artifact = dataclasses.replace(honest, blobs=(*lying, *more), config=exported.blob(b"[", MODEL_PACK))
    _fetch(exported.write(tmp_path / "shop", mine, along=(artifact,)), theirs)
    weights = store(theirs)
    there = {path.relative_to(weights.root / "models") for path in weights.root.glob("models/**/*") if path.is_file()}
    assert there == {Path(MODEL.key) / path for path in CONTENTS}
    assert not [*tmp_path.rglob("outside")]


@pytest.mark.parametrize("what", ["nothing", "one of them", "altered"])
def test_a_model_that_neither_an_export_nor_a_hub_has_is_one_error_that_names_both(
    what: str, tmp_path: Path, mine: Session, theirs: Session
) -> None:
    artifact = _artifact(mine)
    if what == "one of them":
        artifact = dataclasses.replace(artifact, blobs=artifact.blobs[:1])
    place = exported.write(tmp_path / "shop", mine, along=() if what == "nothing" else (artifact,))
    if what == "altered":
        (place.path / "blobs/sha256" / FILES[1].sha256).write_bytes(b"w" * FILES[1].size)
    with pytest.raises(FetchError, match="sub/model.safetensors" if what != "nothing" else "cannot get") as caught:
        _fetch(place, _refusing(theirs))
    told = f"{caught.value.detail}"
    assert "huggingface" in told
    assert str(place) in told
    expected = {
        "nothing": "no model is attached", "one of them": "has no such file", "altered": "has other content",
    }  # fmt: skip
    assert expected[what] in told
    assert ("--weights" in str(caught.value.hint)) == (what == "nothing")
    assert not (store(theirs).folder(MODEL.key) / FILES[1].path).exists()


def _refusing(theirs: Session) -> Session:
    """With a hub's address that no request can go to."""
    hubs = dataclasses.replace(theirs.settings.hubs, huggingface="unknown://hub")
    return dataclasses.replace(theirs, settings=dataclasses.replace(theirs.settings, hubs=hubs))


def test_a_registry_stands_in_for_hubs_and_nothing_is_asked_before(theirs: Session) -> None:
    opens = model_from(InRegistry(reference=Reference.parse("127.0.0.1:9/team/shop:1")), exported.top().digest)
    assert opens
    with opens(theirs) as source:
        assert (source.name, source.near, source.stands_in) == ("127.0.0.1:9/team/shop:1", False, True)
    assert model_from(Memory(), exported.top().digest) is None
