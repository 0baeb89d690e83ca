"""What is pushed: once only, whole before its manifest names it, and nothing where something may be secret."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from devenv.build.image import Image
from devenv.doors.files import sha256
from devenv.doors.http.registry.manifest import Descriptor, Manifest, digest_of
from devenv.doors.settings.credentials import Credential
from devenv.errors import ShareError
from devenv.plan.plan import plan
from devenv.secrets.known import KnownValues
from devenv.share import carried_weights, recipe
from devenv.share import push as module
from devenv.share.formats import CONFIG, MODEL, PREDICATE, RECIPE, RECIPE_ARTIFACT, SBOM, STATEMENT
from devenv.share.pack import Packed, document
from devenv.share.push import Pushed, Subject, push
from devenv.snapshot.store import Snapshot, Snapshots, volume_file
from devenv.up.decide import Decided
from devenv.up.session import Session
from devenv.verify.identity import Identity
from tests.unit import examples
from tests.unit.share import models
from tests.unit.share.made import SNAPSHOT_TAR, Memory, Shared, layer, look, member, preset_folder, session, shared, tar

NOBODY = KnownValues.of([])
SECRET = "n0t-for-0thers"


@pytest.fixture
def made(tmp_path: Path) -> Shared:
    """An image in a place of its own; only its layers and configuration are used here."""
    return shared(tmp_path / "other")


@pytest.fixture
def given(tmp_path: Path, made: Shared, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session where the image `devenv/demo:1` is packed, and carries a preset."""
    preset_folder(tmp_path / "preset")
    files = []
    for one in made.layers:
        path = tmp_path / one.hex
        path.write_bytes(made.place.blobs[one.digest])
        files.append((one, path))
    packed = Packed(config=document(made.config), layers=tuple(files))

    def restore(reference: str, folder: Path, _: Session) -> Path:
        assert reference == "devenv/demo:1"
        shutil.copytree(tmp_path / "preset", folder, dirs_exist_ok=True)
        return folder / recipe.PRESET

    monkeypatch.setattr(module, "restore", restore)
    monkeypatch.setattr(module, "pack", lambda *_: packed)
    monkeypatch.setattr(module, "known_config", lambda *_: packed.config)
    monkeypatch.setattr(module, "sbom", lambda lock: json.dumps({"lock": lock.digest}).encode())
    return session(tmp_path)


@pytest.fixture
def subject() -> Subject:
    decided = Decided(loaded=examples.loaded(), lock=examples.lock(), plan=plan(examples.loaded(), examples.lock()))
    return Subject(decided=decided, image=Image(reference="devenv/demo:1", id="sha256:1", cached=True))


def _with_snapshot(subject: Subject, given: Session, *, layer: bool = True, secret: str = "") -> Subject:
    volume = tar(member("./kept", b"kept " + secret.encode()))
    kept = Snapshots(given.dirs.snapshots)
    snapshot = Snapshot(
        name="demo-1", environment="demo", preset="demo", message="mine", made="2026-01-01T00:00:00+00:00", user="me",
        lock_digest="x", layer_sha256=digest_of(SNAPSHOT_TAR).partition(":")[2] if layer else "",
        volumes={"/mnt/demo": len(volume)},
    )  # fmt: skip
    with kept.new("demo-1", lambda: None) as place:
        (place / "layer.tar").write_bytes(SNAPSHOT_TAR)
        (place / "volumes").mkdir()
        (place / "volumes" / volume_file("/mnt/demo")).write_bytes(volume)
        kept.write(place, snapshot)
    return dataclasses.replace(subject, snapshot=snapshot)


def _is_about(manifest: Manifest, digest: str, kind: str) -> bool:
    return bool(manifest.subject and manifest.subject.digest == digest and manifest.artifact_type == kind)


def _push(subject: Subject, place: Memory, given: Session, **how: Any) -> Pushed:
    return push(subject, place, NOBODY, given, **how)


def test_the_second_push_sends_nothing_and_is_the_same(subject: Subject, made: Shared, given: Session) -> None:
    place = Memory()
    first = _push(subject, place, given)
    assert place.writing
    assert place.own
    assert first == Pushed(
        reference=f"example.org/demo@{place.own.digest}", digest=place.own.digest, identity=made.identity,
        recipe=first.recipe, size=sum(map(len, place.blobs.values())), sent=first.size,
    )  # fmt: skip
    assert _push(subject, place, given) == dataclasses.replace(first, sent=0)
    other = Memory()
    assert _push(subject, other, given) == first
    assert other.blobs == place.blobs


def test_what_was_pushed_is_found_with_all_its_parts(subject: Subject, made: Shared, given: Session) -> None:
    place = Memory()
    pushed = _push(subject, place, given)
    found = look(place, given)
    assert (found.identity, found.digest, found.layers) == (pushed.identity, pushed.digest, tuple(made.layers))
    assert (found.folder / "files/0").read_text() == "own\n"
    attached = [one for one in place.manifests.values() if one.subject]
    assert {one.artifact_type for one in attached} == {RECIPE_ARTIFACT, SBOM, STATEMENT}
    (stated,) = [one for one in attached if one.artifact_type == STATEMENT]
    assert dict(stated.annotations) == {PREDICATE: "https://slsa.dev/provenance/v1"}
    (blob,) = stated.layers
    assert (blob.media_type, blob.annotations) == (STATEMENT, stated.annotations)
    statement = json.loads(place.blobs[blob.digest])
    assert statement["subject"] == [{"name": "demo", "digest": {"sha256": pushed.digest.removeprefix("sha256:")}}]
    parameters = statement["predicate"]["buildDefinition"]["externalParameters"]
    assert parameters["lock"] == {"sha256": examples.lock().digest}
    assert parameters["recipe"] == {"sha256": pushed.recipe.removeprefix("sha256:")}
    assert {one.subject.digest for one in attached if one.subject} == {pushed.digest}


@pytest.mark.parametrize("recipe_only", [False, True])
def test_a_model_goes_along_when_asked_and_the_second_push_sends_nothing(
    recipe_only: bool, subject: Subject, given: Session, tmp_path: Path
) -> None:
    along = [carried_weights.along(models.LOCK, models.store(models.filled(tmp_path / "filled")))]
    place = Memory()
    without = _push(subject, place, given, recipe_only=recipe_only)
    assert without.weights is None
    assert not [one for one in place.manifests.values() if one.artifact_type == MODEL]
    pushed = _push(subject, place, given, recipe_only=recipe_only, along=along)
    assert pushed.sent == sum(blob.descriptor.size for blob in along[0].every())
    assert (pushed.digest, pushed.size - without.size) == (without.digest, pushed.sent)
    assert pushed.weights
    manifest = place.manifests[pushed.weights]
    assert manifest.artifact_type == MODEL
    assert manifest.subject
    assert manifest.subject.digest == pushed.digest
    assert {place.blobs[layer.digest] for layer in manifest.layers} == {*models.CONTENTS.values()}
    again = _push(subject, place, given, recipe_only=recipe_only, along=along)
    assert again == dataclasses.replace(pushed, sent=0)


def test_another_layer_sends_itself_and_the_small_ones(
    subject: Subject, made: Shared, given: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Memory()
    first = _push(subject, place, given)
    before = {*place.blobs}
    old, new = made.layers[0], layer(made.place, "own", tar(member("own/file", b"another")))
    path = tmp_path / new.hex
    path.write_bytes(made.place.blobs[new.digest])
    config = document({**made.config, "rootfs": {"type": "layers", "diff_ids": ["sha256:0", "sha256:1"]}})
    changed = Packed(config=config, layers=((old, tmp_path / old.hex), (new, path)))
    monkeypatch.setattr(module, "pack", lambda *_: changed)
    second = _push(subject, place, given)
    (statement,) = [one.layers[0] for one in place.manifests.values() if _is_about(one, second.digest, STATEMENT)]
    assert {*place.blobs} - before == {new.digest, Descriptor.of(config, CONFIG).digest, statement.digest}
    assert (second.digest != first.digest, second.sent) == (True, new.size + len(config) + statement.size)


@pytest.mark.parametrize("has_layer", [True, False])
def test_a_snapshot_goes_with_its_layer_and_volumes(
    has_layer: bool, subject: Subject, made: Shared, given: Session
) -> None:
    place, plain = Memory(), _push(subject, Memory(), given)
    pushed = _push(_with_snapshot(subject, given, layer=has_layer), place, given)
    assert (pushed.identity, pushed.digest != plain.digest) == (made.identity, True)
    found = look(place, given)
    assert found.config == document(made.config)
    assert found.added
    assert (found.added.snapshot, found.added.message, {*found.added.volumes}) == ("demo-1", "mine", {"/mnt/demo"})
    assert bool(found.added.layer) == has_layer
    assert {one.digest for one in found.added.blobs()} <= place.blobs.keys()
    assert place.own
    assert len(place.own.layers) == len(made.layers) + has_layer


def test_a_recipe_goes_without_the_image(
    subject: Subject, made: Shared, given: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "pack", lambda *_: pytest.fail("the image was packed"))
    place = Memory()
    pushed = _push(_with_snapshot(subject, given), place, given, recipe_only=True)
    assert not {one.digest for one in made.layers} & place.blobs.keys()
    found = look(place, given)
    assert (found.identity, found.config, found.layers) == (pushed.identity, None, ())
    assert found.added
    assert found.added.layer
    assert place.own
    assert place.own.layers[0].media_type == RECIPE


def test_the_identity_of_an_image_that_was_never_packed_is_read(
    subject: Subject, made: Shared, given: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Identity(reference="devenv/demo:1", digest=made.identity, config=made.config, layers=())
    monkeypatch.setattr(module, "known_config", lambda *_: None)
    monkeypatch.setattr(module, "identity", lambda *_: found)
    assert _push(subject, Memory(), given, recipe_only=True).identity == made.identity


@pytest.mark.parametrize("recipe_only", [True, False])
@pytest.mark.parametrize("where", ["preset", "volume"])
def test_a_secret_stops_it_before_a_byte_is_sent(
    where: str, recipe_only: bool, subject: Subject, given: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, known = Memory(), KnownValues.of([Credential(origin="the registry's password", value=SECRET)])
    (tmp_path / "preset/files/0").write_text(SECRET if where == "preset" else "own")
    wanted = _with_snapshot(subject, given, secret=SECRET if where == "volume" else "")
    monkeypatch.delattr(module, "pack")  # the image is not read either
    with pytest.raises(ShareError, match="may be secret") as caught:
        push(wanted, place, known, given, recipe_only=recipe_only)
    assert SECRET not in f"{caught.value}{caught.value.detail}{caught.value.hint}"
    assert (place.blobs, place.manifests) == ({}, {})


def test_a_push_that_fails_leaves_no_manifest(
    subject: Subject, given: Session, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    place = Memory()

    def fail(*_: object) -> None:
        raise ShareError("503")

    monkeypatch.setattr(place, "send", fail)
    with pytest.raises(ShareError, match="503"):
        _push(subject, place, given)
    assert place.manifests == {}


def test_the_blobs_are_what_their_descriptors_say(subject: Subject, given: Session, tmp_path: Path) -> None:
    place = Memory()
    _push(_with_snapshot(subject, given), place, given)
    for digest, data in place.blobs.items():
        (tmp_path / "blob").write_bytes(data)
        assert digest == f"sha256:{sha256(tmp_path / 'blob')}"
