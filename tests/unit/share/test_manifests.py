"""Manifests: the same content gives the same bytes, and a snapshot's layer comes off as it went on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.doors.http.registry.manifest import EMPTY, Descriptor, Manifest
from devenv.share import manifests
from devenv.share.formats import DELTA, IDENTITY, RECIPE, RECIPE_ARTIFACT, RECIPE_DIGEST, RECIPE_SIZE, SBOM
from devenv.share.pack import document
from tests.unit.share.made import Memory, layer

SHA256 = "5" * 64
LABELS = st.dictionaries(st.text(max_size=5).map(lambda text: f"org.{text}"), st.text(max_size=9), max_size=3)


@st.composite
def _configs(draw: st.DrawFn) -> dict[str, Any]:
    """Canonical configurations: nothing in `config` is empty."""
    number, labels = draw(st.integers(0, 4)), draw(LABELS)
    env = draw(st.lists(st.text(max_size=9), max_size=3))
    created = draw(st.sampled_from(["2023-11-14T22:13:20Z", "2026-01-01T00:00:00Z"]))
    return {
        "architecture": "amd64", "os": "linux", "created": created,
        "config": {**({"Labels": labels} if labels else {}), **({"Env": env} if env else {})},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{index:064x}" for index in range(number)]},
        "history": [{"created": created, "created_by": f"devenv {index}"} for index in range(number)],
    }  # fmt: skip


@given(_configs(), st.text(max_size=9))
def test_without_delta_gives_what_with_delta_was_given(config: dict[str, Any], snapshot: str) -> None:
    above = manifests.with_delta(document(config), SHA256, snapshot)
    assert manifests.without_delta(json.loads(above)) == document(config)
    told = json.loads(above)
    assert told["rootfs"]["diff_ids"] == [*config["rootfs"]["diff_ids"], f"sha256:{SHA256}"]
    assert len(told["history"]) == len(told["rootfs"]["diff_ids"])
    assert (told["config"]["Labels"]["dev.devenv.image.delta"], told["config"]["Labels"]["dev.devenv.image.snapshot"]) == (
        SHA256, snapshot,
    )  # fmt: skip


@pytest.mark.parametrize(
    "config", [{}, {"config": {}}, {"config": {"Labels": {}}, "rootfs": {"diff_ids": []}, "history": []}]
)
def test_what_has_no_delta_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        manifests.without_delta(config)


def _contents(**more: Any) -> manifests.Contents:
    return manifests.Contents(identity=f"sha256:{SHA256}", recipe=b"recipe", about={"b": "2", "a": "1"}, **more)


def test_an_image_names_its_recipe_and_the_snapshots_layer_lies_on_top() -> None:
    place = Memory()
    below, delta = (layer(place, "base"), layer(place, "own")), layer(place, "snapshot")
    made = manifests.image(b"{}", below, _contents(delta=delta))
    assert made == manifests.image(b"{}", below, _contents(delta=delta))
    read = Manifest.read(made.data, made.media_type)
    assert read.layers == (*below, delta)
    about = dict(read.annotations)
    recipe = Descriptor.of(b"recipe", RECIPE)
    assert (about[IDENTITY], about[RECIPE_DIGEST], about[RECIPE_SIZE], about["a"]) == (
        f"sha256:{SHA256}", recipe.digest, "6", "1",
    )  # fmt: skip
    assert manifests.image(b"{}", below, _contents()).layers == below


def test_what_is_about_an_image_cannot_lie_over_the_identity() -> None:
    lies = manifests.Contents(identity="sha256:real", recipe=b"", about={IDENTITY: "sha256:other"})
    assert lies.annotations()[IDENTITY] == "sha256:real"


def test_a_recipe_and_a_bill_are_about_their_image() -> None:
    place = Memory()
    image = manifests.image(b"{}", (layer(place, "base"),), _contents())
    alone, attached = manifests.recipe(_contents()), manifests.recipe(_contents(), image)
    assert alone.subject is None
    assert attached.subject == Descriptor.of(image.data, image.media_type)
    assert (attached.artifact_type, attached.config) == (RECIPE_ARTIFACT, Descriptor.of(b"{}", EMPTY))
    assert attached.layers == (Descriptor.of(b"recipe", RECIPE),)
    bill = manifests.attachment(SBOM, b"[]", image)
    assert (bill.artifact_type, bill.subject, bill.layers) == (SBOM, attached.subject, (Descriptor.of(b"[]", SBOM),))


def test_the_digest_of_a_snapshots_layer_is_an_annotation() -> None:
    told = manifests.Contents(identity="", recipe=b"", about={"dev.devenv.delta": SHA256})
    assert dict(manifests.recipe(told).annotations)[DELTA] == SHA256
    assert DELTA not in dict(manifests.recipe(_contents()).annotations)
