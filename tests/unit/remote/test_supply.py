"""What a box lacks is sent from here, and verified there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from devenv.doors.terminal.progress import Silent
from devenv.errors import TargetError
from devenv.fetch.store import Store
from devenv.lock.artifact import Artifact
from devenv.lock.model import LockedModel, ModelFile, ModelSource, files_digest
from devenv.remote import supply
from devenv.weights.store import Weights
from tests.unit.remote.sync.test_both import Pair, talk_with

TEXTS = {"config.json": b"{}", "weights/a b.safetensors": b"w" * 300_000}


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def _artifact(text: bytes) -> Artifact:
    return Artifact(name="a", version="1", file="a.whl", size=len(text), sha256=hashlib.sha256(text).hexdigest())


def test_locked_files_arrive_in_the_store_there(pair: Pair, tmp_path: Path) -> None:
    mine = Store(tmp_path / "mine")
    here, absent = _artifact(b"here"), _artifact(b"absent")
    mine.receive([b"here"], here)
    with talk_with(pair.serve) as session:
        assert supply.send(session, [here, absent], mine, Silent()) == 1
    assert pair.store.has(here)
    assert not pair.store.has(absent)


def test_a_file_that_changed_here_is_refused_there(pair: Pair, tmp_path: Path) -> None:
    mine = Store(tmp_path / "mine")
    one = _artifact(b"here")
    mine.receive([b"here"], one)
    path = mine.path(one.sha256)
    facts = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"evil")
    import os

    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    with pytest.raises(TargetError, match="is not the file that was locked"), talk_with(pair.serve) as session:
        supply.send(session, [one], mine, Silent())
    assert not pair.store.has(one)


def test_little_is_sent_at_once_and_much_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Store(tmp_path / "mine")
    one = _artifact(b"here")
    mine.receive([b"here"], one)
    assert supply.at_once((one, _artifact(b"absent")), mine, all_of_them=False) == (one,)
    monkeypatch.setattr(supply, "AT_ONCE_BYTES", 3)
    assert supply.at_once((one,), mine, all_of_them=False) == ()
    assert supply.at_once((one,), mine, all_of_them=True) == (one,)


def _model(store: Weights) -> LockedModel:
    """A model that is complete in a store."""
    files = tuple(
        ModelFile(path=path, size=len(text), sha256=hashlib.sha256(text).hexdigest())
        for path, text in sorted(TEXTS.items())
    )
    source = ModelSource(hub="huggingface", id="a/b", revision="0" * 40)
    model = LockedModel(name="tiny", digest=files_digest(files), sources=(source,), files=files)
    store.begin(model)
    for file in files:
        fresh = store.parts(model.key) / file.sha256
        fresh.write_bytes(TEXTS[file.path])
        store.put(model, file, fresh)
    return model


def test_weights_arrive_verified(pair: Pair, tmp_path: Path) -> None:
    mine = Weights(tmp_path / "mine")
    model = _model(mine)
    with talk_with(pair.serve) as session:
        assert supply.send_weights(session, model, mine, Silent()) == 2
        assert supply.send_weights(session, model, mine, Silent()) == 0
    assert Weights(tmp_path / "weights there").present(model)


def test_other_weights_are_refused_there(pair: Pair, tmp_path: Path) -> None:
    mine = Weights(tmp_path / "mine")
    model = _model(mine)
    path = mine.folder(model.key) / "config.json"
    path.unlink()
    path.write_bytes(b"[]")
    with pytest.raises(TargetError, match=r"config\.json is not the locked file"), talk_with(pair.serve) as session:
        supply.send_weights(session, model, mine, Silent())
    there = Weights(tmp_path / "weights there")
    assert len(there.missing(model)) == 2
    assert not list(there.parts(model.key).iterdir())
