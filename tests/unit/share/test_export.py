"""What another place has goes into a layout, with all that is attached to it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devenv.doors.http.registry.manifest import EMPTY
from devenv.doors.terminal.progress import Silent
from devenv.errors import ShareError
from devenv.share import carried_weights, export, manifests
from devenv.share.export import Extent
from devenv.share.formats import MODEL, RECIPE, SBOM
from devenv.share.have import known
from devenv.share.layout import InLayout
from devenv.share.manifests import Contents
from devenv.share.remote import Remote
from devenv.up.session import Session
from tests.unit.share import exported, models


@pytest.fixture
def mine(tmp_path: Path) -> Session:
    return exported.session(tmp_path / "mine")


def _remote(place: InLayout, tmp_path: Path) -> Remote:
    return Remote(
        place=place, digest=exported.top().digest, identity="sha256:" + "0" * 64, folder=tmp_path, added=None,
        config=exported.CONFIG_BYTES,
    )  # fmt: skip


@pytest.mark.parametrize(("source", "target"), [("shop", "copy.tar"), ("shop.tar", "copy")])
def test_an_export_copied_is_the_same_export(source: str, target: str, tmp_path: Path, mine: Session) -> None:
    first = exported.write(tmp_path / source, mine, along=(exported.along(b"a file"),))
    copy = InLayout(path=tmp_path / target, tar=target.endswith(".tar"))
    done = export.copy(_remote(first, tmp_path), copy, mine, extent=Extent())
    one, other = exported.files(first.path), exported.files(copy.path)
    for each in (one, other):
        each.pop("manifest.json", None)
    assert one == other
    assert (done.path, done.digest, done.left_out) == (str(copy.path), exported.top().digest, 0)
    assert not [*mine.dirs.blobs.iterdir()]


def test_parts_are_named_and_what_is_left_out_is_counted(tmp_path: Path, mine: Session) -> None:
    first = exported.write(tmp_path / "shop", mine)
    parts = InLayout(path=tmp_path / "parts.tar", tar=True, part_bytes=1 << 20)
    done = export.copy(_remote(first, tmp_path), parts, mine, extent=Extent())
    assert done.path == str(tmp_path / "parts.tar.parts.json")
    assert done.parts == tuple(str(tmp_path / f"parts.tar.{number:03d}") for number in range(1, 5))
    assert done.size == sum(Path(part).stat().st_size for part in done.parts)
    less = dataclasses.replace(parts, path=tmp_path / "less.tar", left_out=known(first.path))
    done = export.copy(_remote(first, tmp_path), less, mine, extent=Extent())
    assert (done.left_out, len(done.parts)) == (sum(map(len, exported.LAYERS)), 1)


def test_a_recipe_alone_is_the_one_beside_the_image(tmp_path: Path, mine: Session) -> None:
    first = exported.write(tmp_path / "shop", mine)
    target = InLayout(path=tmp_path / "recipe")
    with pytest.raises(ShareError, match="has no recipe of its own"):
        export.copy(_remote(first, tmp_path), target, mine, extent=Extent(recipe_only=True))
    top = exported.top()
    contents = Contents(identity="sha256:" + "0" * 64, recipe=b"recipe", about={})
    recipe = manifests.recipe(contents, top)
    with first.opened(mine, writing=True) as layout:
        small = [exported.blob(data, kind) for data, kind in ((b"{}", EMPTY), (b"recipe", RECIPE), (b"bill", SBOM))]
        layout.send([*small, *map(exported.blob, (exported.CONFIG_BYTES, *exported.LAYERS))], Silent())
        layout.put(top)
        layout.attach(recipe)
    done = export.copy(_remote(first, tmp_path), target, mine, extent=Extent(recipe_only=True))
    assert done.digest == recipe.digest
    assert len(exported.files(target.path)) == 6
    assert b"recipe" in exported.files(target.path).values()


# ---- models


class _Elsewhere(InLayout):
    """A layout that counts as a place elsewhere, as a registry does."""

    near = False


def _beside(tmp_path: Path, mine: Session) -> InLayout:
    """An image with a model attached, elsewhere."""
    model = carried_weights.along(models.LOCK, models.store(models.filled(tmp_path / "filled")))
    return _Elsewhere(path=exported.write(tmp_path / "there", mine, along=(model,)).path)


@pytest.mark.parametrize("weights", [False, True])
def test_a_model_of_a_registry_is_copied_when_asked_alone(weights: bool, tmp_path: Path, mine: Session) -> None:
    copy = InLayout(path=tmp_path / "copy")
    done = export.copy(_remote(_beside(tmp_path, mine), tmp_path), copy, mine, extent=Extent(weights=weights))
    assert done.files == (len(models.FILES) if weights else 0)
    assert (models.CONTENTS["sub/model.safetensors"] in exported.files(copy.path).values()) == weights
    with copy.opened(mine) as layout:
        kinds = {one.artifact_type for one in layout.attached(layout.manifest())}
    assert kinds == ({SBOM, MODEL} if weights else {SBOM})


def test_a_model_of_an_export_goes_on_with_it_and_can_be_left_out(tmp_path: Path, mine: Session) -> None:
    first = InLayout(path=_beside(tmp_path, mine).path)
    copy = InLayout(path=tmp_path / "copy")
    assert export.copy(_remote(first, tmp_path), copy, mine, extent=Extent()).files == len(models.FILES)
    less = InLayout(path=tmp_path / "less", left_out=frozenset(file.sha256 for file in models.FILES))
    done = export.copy(_remote(first, tmp_path), less, mine, extent=Extent())
    assert done.left_out == models.MODEL.size
