"""Pulled or built: whichever takes fewer bytes, unless a user says; and a snapshot's parts in their places."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.build.image import Image
from devenv.doors.http.registry.manifest import digest_of
from devenv.doors.http.registry.reference import Reference
from devenv.doors.terminal.progress import Silent
from devenv.errors import DriftError, EngineError, ShareError
from devenv.lock.model import Lock
from devenv.plan.plan import plan
from devenv.share import bring
from devenv.share.layout import InLayout
from devenv.share.pack import document
from devenv.share.place import InRegistry
from devenv.up.decide import Decided
from devenv.up.session import Session
from tests.unit import examples
from tests.unit.share.made import SNAPSHOT_TAR, Engine, Shared, content, look, member, packed, session, shared, tar

Make = Callable[..., Shared]


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def given(tmp_path: Path, engine: Engine) -> Session:
    return session(tmp_path, engine)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A shared image whose recipe gives the plan of `examples.lock()`; its label says so unless `build` says other."""
    found = Decided(loaded=examples.loaded(), lock=examples.lock(), plan=plan(examples.loaded(), examples.lock()))
    monkeypatch.setattr(bring, "decide", lambda *_: found)

    def made(**facts: Any) -> Shared:
        return shared(tmp_path / "preset", **{"build": found.plan.build_digest, **facts})

    return made


def _notes(given: Session, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    notes: list[str] = []
    monkeypatch.setattr(given.stages, "note", notes.append)
    return notes


def _missing(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """So many bytes of the lock's files are not here."""
    one = examples.deb("big").model_copy(update={"size": size})

    def missing(_: Any, __: Lock) -> tuple[Any, ...]:
        return (one,) if size else ()

    monkeypatch.setattr("devenv.fetch.store.Store.missing", missing)


def _brought(decided: Decided, given: Session) -> Image | None:
    """The pulled image; None where it is to be built."""
    return decided.elsewhere(given) if decided.elsewhere else None


@pytest.mark.parametrize(
    ("way", "more", "pulls"),
    [
        (None, 0, True), (None, -1, False), (None, 10**9, True), ("pull", -1, True), ("pull", 10**9, True),
        ("rebuild", 10**9, False), ("rebuild", -1, False),
    ],
)  # fmt: skip
def test_fewer_bytes_decide_unless_a_user_does(
    way: Any, more: int, pulls: bool, make: Make, given: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make()
    to_pull = sum(layer.size for layer in made.layers)
    _missing(monkeypatch, to_pull + more)
    notes = _notes(given, monkeypatch)
    decided = bring.decided(look(made.place, given), way, given)
    assert not {one.digest for one in made.layers} & {*made.place.asked}, "nothing large before it is needed"
    image = _brought(decided, given)
    assert (image is not None, decided.check is None) == (pulls, pulls)
    if way != "rebuild":
        assert notes[-1].startswith(f"example.org/demo:1 is {'pulled' if pulls else 'built here'}: {to_pull} B to pull")
    if image:
        assert image == Image(reference=decided.plan.image, id=made.identity, cached=False)
        assert engine.images == {decided.plan.image: made.identity}
    assert not [*given.dirs.blobs.glob("*")]


def test_a_pulled_image_has_a_tag_that_no_preset_has(make: Make, given: Session, engine: Engine) -> None:
    """Nobody has proved that it is what its lock gives."""
    made = make()
    remote = look(made.place, given)
    decided = bring.decided(remote, "pull", given)
    own = plan(examples.loaded(), examples.lock()).image
    assert decided.plan.image == f"{own}-pulled-{made.identity.removeprefix('sha256:')[:16]}"
    assert _brought(decided, given)
    assert own not in engine.images
    again = bring.decided(remote, None, given)
    assert (again.plan.image, again.check) == (decided.plan.image, None)


@pytest.mark.parametrize("used", ["loading", "check"])
def test_another_run_waits_until_what_came_was_used(
    used: str, make: Make, given: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have the same layer, which the first of the two removes."""
    remote, act, locked = look(make(snapshot=True).place, given), getattr(bring, used), []

    def using(*words: Any, **named: Any) -> Any:
        with given.dirs.blobs.with_name("blobs.lock").open("rb") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked.append(True)
        return act(*words, **named)

    monkeypatch.setattr(bring, used, using)
    decided = bring.decided(remote, "pull", given)
    assert _brought(decided, given)
    assert decided.delta
    assert decided.delta.bring
    decided.delta.bring(Silent())
    assert locked == [True]


def test_an_image_that_was_built_here_comes_first(make: Make, given: Session, engine: Engine) -> None:
    remote, own = look(make().place, given), plan(examples.loaded(), examples.lock()).image
    engine.images[own] = "sha256:built"
    assert bring.decided(remote, None, given).plan.image == own
    assert bring.decided(remote, "pull", given).plan.image != own


@pytest.mark.parametrize(("gives", "lock", "works"), [("same", "", True), ("other", "", False), ("other", "new", True)])
def test_what_is_built_has_to_be_what_the_recipe_names(
    gives: str, lock: str, works: bool, make: Make, given: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the user had the lock changed, which is noted."""
    made, notes = make(), _notes(given, monkeypatch)
    decided = bring.decided(look(made.place, given), "rebuild", given)
    assert decided.check
    digest = made.identity if gives == "same" else f"sha256:{'0' * 64}"
    monkeypatch.setattr(bring, "identity", lambda *_: SimpleNamespace(digest=digest))
    built = decided if not lock else dataclasses.replace(decided, lock=examples.lock(apt=(examples.deb("new"),)))
    with contextlib.nullcontext() if works else pytest.raises(DriftError, match="names the image"):
        decided.check(built, Image(reference="x", id="y", cached=False), given)
    assert bool(notes) == bool(lock)


def test_layers_that_are_here_already_count_for_nothing(
    make: Make, given: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make()
    given.dirs.blobs.mkdir(parents=True)
    for one in made.layers:
        (given.dirs.blobs / one.hex).write_bytes(made.place.blobs[one.digest])
    _missing(monkeypatch, 0)
    assert _brought(bring.decided(look(made.place, given), None, given), given)


def test_what_another_version_pushed_is_built_here(make: Make, given: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    notes, remote = _notes(given, monkeypatch), look(make(build="older").place, given)
    assert bring.decided(remote, None, given).elsewhere is None
    assert "another devenv version" in notes[-1]
    with pytest.raises(ShareError, match="is not what its recipe gives"):
        bring.decided(remote, "pull", given)


@pytest.mark.parametrize("labels", [None, [], "x", {"dev.devenv.image.build": 7}, {}])
def test_a_label_that_lies_about_its_build_is_never_pulled(labels: Any, make: Make, given: Session) -> None:
    remote = look(make().place, given)
    config = document({"config": {"Labels": labels}})
    decided = bring.decided(dataclasses.replace(remote, config=config), None, given)
    assert decided.elsewhere is None


def test_a_recipe_is_built_and_cannot_be_pulled(make: Make, given: Session) -> None:
    recipe = dataclasses.replace(look(make().place, given), config=None, layers=())
    assert bring.decided(recipe, None, given).elsewhere is None
    assert bring.decided(recipe, "rebuild", given).elsewhere is None
    with pytest.raises(ShareError, match="has no image to pull") as caught:
        bring.decided(recipe, "pull", given)
    assert caught.value.hint == f"build it here: devenv up {recipe.place}"


def test_a_hostile_layer_gives_no_image(make: Make, given: Session, engine: Engine) -> None:
    made = make()
    hostile = made.place.add(packed(tar(member("../../etc/cron.d/x", b"x"))))
    remote = dataclasses.replace(look(made.place, given), layers=(hostile, *made.layers[1:]))
    with pytest.raises(ShareError, match=hostile.digest):
        _brought(bring.decided(remote, "pull", given), given)
    assert (engine.images, engine.loaded) == ({}, [])


def test_layers_stay_where_another_could_not_be_brought(make: Make, given: Session) -> None:
    made = make()
    first, *_, last = made.layers
    remote = look(made.place, given)
    del made.place.blobs[last.digest]
    with pytest.raises(ShareError, match=last.digest):
        _brought(bring.decided(remote, "pull", given), given)
    assert (given.dirs.blobs / first.hex).is_file()


def test_layers_of_other_images_are_not_brought_again(
    make: Make, given: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = look((made := make()).place, given)
    notes = _notes(given, monkeypatch)
    first, *others = remote.layers
    assert others
    engine.here = 1
    made.place.asked.clear()
    _brought(bring.decided(remote, "pull", given), given)
    with tarfile.open(fileobj=io.BytesIO(engine.loaded[-1])) as archive:
        assert {one.hex for one in others} < {*archive.getnames()}
        assert first.hex not in archive.getnames()
        (told,) = json.loads(content(archive, "manifest.json"))
    assert told["Layers"] == [one.hex for one in remote.layers]
    assert first.digest not in made.place.asked
    assert f"{sum(one.size for one in others)} B to pull" in notes[-1]


def test_where_the_engine_wants_them_all_the_same_all_are_sent(
    make: Make, given: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, notes = engine.load, _notes(given, monkeypatch)

    def picky(archive: Iterator[bytes], tell: Callable[[int], None]) -> None:
        data = b"".join(archive)
        if remote.layers[0].hex.encode() not in data.partition(b"manifest.json")[0]:
            raise EngineError("open …/layer: no such file")
        load(iter([data]), tell)

    remote = look(make().place, given)
    engine.here = 1
    engine.load = picky  # type: ignore[method-assign]
    _brought(bring.decided(remote, "pull", given), given)
    assert notes[-1] == "the engine did not take the image with the layers that it has: all are sent"


def test_an_engine_that_takes_nothing_is_an_error(make: Make, given: Session, engine: Engine) -> None:
    engine.load = lambda archive, tell: None  # type: ignore[method-assign]
    with pytest.raises(ShareError, match="the engine has not taken"):
        _brought(bring.decided(look(make().place, given), "pull", given), given)


# ---- a snapshot


def test_a_snapshots_layer_comes_when_it_is_laid_over_the_image(make: Make, given: Session) -> None:
    made = make(snapshot=True)
    remote = look(made.place, given)
    delta = bring.decided(remote, None, given).delta
    assert delta
    assert delta.bring
    assert (delta.snapshot, delta.path.exists()) == ("example.org/demo:1", False)
    delta.bring(Silent())
    assert delta.path.read_bytes() == SNAPSHOT_TAR
    assert digest_of(SNAPSHOT_TAR) == f"sha256:{delta.sha256}"
    assert not [*given.dirs.blobs.glob("*")]
    made.place.asked.clear()
    delta.bring(Silent())
    assert made.place.asked == []


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (tar(member("home/other", b"x")), "not the layer that its recipe names"),
        (tar(member("dev/sda", type=b"4")), "a device"),
        (tar(member("/etc/passwd", b"x")), "leaves the image"),
        (b"no tar" * 200, "cannot be read"),
    ],
)
def test_a_hostile_snapshots_layer_is_not_laid_over_anything(
    plain: bytes, said: str, make: Make, given: Session
) -> None:
    made = make(snapshot=True)
    remote = look(made.place, given)
    assert remote.added
    other = dataclasses.replace(remote.added, layer=made.place.add(packed(plain)))
    delta = bring.decided(dataclasses.replace(remote, added=other), None, given).delta
    assert delta
    assert delta.bring
    with pytest.raises(ShareError, match=said):
        delta.bring(Silent())
    assert not [*remote.folder.glob("layer*")]


def test_volumes_come_once_and_take_the_environments_name(make: Make, given: Session) -> None:
    made = make(snapshot=True, volumes=True)
    remote = look(made.place, given)
    found = bring.volumes(remote, "mine", given)
    assert {*found} == {"/mnt/mine"}
    assert b"kept" in found["/mnt/mine"].read_bytes()
    made.place.asked.clear()
    assert bring.volumes(remote, "demo", given) == {"/mnt/demo": found["/mnt/mine"]}
    assert made.place.asked == []
    assert bring.volumes(dataclasses.replace(remote, added=None), "mine", given) == {}


def test_a_full_disk_is_named_and_leaves_no_half_file(
    make: Make, given: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = look(make(snapshot=True, volumes=True).place, given)

    def full(_: object, target: Path) -> str:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bring, "written", full)
    with pytest.raises(ShareError, match="no space left") as caught:
        bring.volumes(remote, "mine", given)
    assert caught.value.hint == "free disk space"
    assert not [one for one in remote.folder.glob("volumes/*") if one.is_file()]


def test_a_registry_and_an_export_may_have_the_model_too(make: Make, given: Session, tmp_path: Path) -> None:
    remote = look(make().place, given)
    places = (InRegistry(reference=Reference.parse("example.org/demo:1")), InLayout(path=tmp_path / "shop"))
    froms = [bring.decided(dataclasses.replace(remote, place=place), None, given).model_from for place in places]
    assert all(froms)
    assert bring.decided(remote, None, given).model_from is None
