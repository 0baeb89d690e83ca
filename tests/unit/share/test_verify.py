"""The proof about what others pushed: the rebuild's digest decides, and no layer of theirs is read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.registry.manifest import digest_of
from devenv.errors import DriftError
from devenv.share import verify as module
from devenv.share.formats import DIFF_ID
from devenv.share.verify import Proof, verify
from devenv.verify.canonical import Layer
from devenv.verify.identity import Identity
from tests.unit.share.made import Shared, look, session, shared


@pytest.fixture
def made(tmp_path: Path) -> Shared:
    return shared(tmp_path / "preset", snapshot=True)


def _proof(made: Shared, digest: str, root: Path, monkeypatch: pytest.MonkeyPatch, **changes: str) -> Proof:
    """Where the recipe gives an image of that digest; `changes`: other layers by their name."""
    ids = {"base": dict(made.layers[0].annotations)[DIFF_ID], "own": dict(made.layers[1].annotations)[DIFF_ID]}
    layers = tuple(
        Layer(name=name, diff_id=diff_id, size_bytes=1, entries=()) for name, diff_id in (ids | changes).items()
    )
    given = session(root)
    asked: list[Path] = []

    def decide(preset: Path, _: Any) -> str:
        asked.append(preset)
        return "decided"

    def identity_anew(decided: Any, _: Any) -> Identity:
        assert decided == "decided"
        return Identity(reference="x", digest=digest, config={}, layers=layers)

    monkeypatch.setattr(module, "decide", decide)
    monkeypatch.setattr(module, "identity_anew", identity_anew)
    remote = look(made.place, given)
    made.place.asked.clear()
    proof = verify(remote, given)
    assert asked == [remote.preset]
    assert made.place.asked == []
    return proof


def test_the_same_digest_is_the_same_image_and_the_snapshot_is_named(
    made: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = _proof(made, made.identity, tmp_path, monkeypatch)
    assert (proof.equal, proof.different) == (True, ())
    assert proof.added
    assert proof.added.snapshot == "demo-1"
    proof.require_equal("x")


def test_another_digest_is_drift_that_names_the_layers(
    made: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = _proof(made, digest_of(b"other"), tmp_path, monkeypatch, own=digest_of(b"other layer"))
    assert (proof.equal, proof.different) == (False, ("own",))
    with pytest.raises(DriftError, match="is not what its preset and lock give") as caught:
        proof.require_equal("example.org/demo:1")
    assert caught.value.detail == "layers that differ: own"
    assert "devenv up example.org/demo:1 --rebuild" in (caught.value.hint or "")


def test_layers_that_only_say_to_be_the_same_do_not_make_it_equal(
    made: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = _proof(made, digest_of(b"other"), tmp_path, monkeypatch)
    assert (proof.equal, proof.different) == (False, ())


def test_a_recipe_alone_has_no_layers_to_name(made: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = session(tmp_path)
    remote = dataclasses.replace(look(made.place, given), layers=())
    monkeypatch.setattr(module, "decide", lambda *_: None)
    layers = (Layer(name="own", diff_id=digest_of(b"x"), size_bytes=1, entries=()),)
    found = Identity(reference="x", digest=digest_of(b"other"), config={}, layers=layers)
    monkeypatch.setattr(module, "identity_anew", lambda *_: found)
    assert verify(remote, given).different == ()
