from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.build import context, own_images
from devenv.build.delta import Delta
from devenv.build.image import Image
from devenv.doors.dirs import Dirs
from devenv.doors.terminal.console import Console
from devenv.doors.terminal.stages import Stages
from devenv.errors import FetchError
from devenv.plan.plan import plan
from devenv.up import image, up
from devenv.up.decide import Decided
from devenv.up.prepare import Token, Wishes
from devenv.up.session import Session
from tests.unit.examples import loaded, lock
from tests.unit.handmade import loaded as handmade_loaded
from tests.unit.handmade import preset


@pytest.mark.parametrize("no_cache", [False, True])
def test_a_build_without_a_cache_makes_the_base_anew(
    no_cache: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base that is kept would prove nothing."""
    asked: list[bool] = []

    def bring_files(*_: object, anew: bool) -> None:
        asked.append(anew)

    def assemble(*_: object, anew: bool = False) -> None:
        asked.append(anew)

    def build(*_: object, no_cache: bool, **__: object) -> Image:
        asked.append(no_cache)
        return Image(reference="devenv/demo:1", id="sha256:1", cached=False)

    monkeypatch.setattr(context, "assemble", assemble)
    monkeypatch.setattr("devenv.build.build.build", build)
    monkeypatch.setattr(image, "find_image", lambda *_: None)
    monkeypatch.setattr("devenv.doors.docker.buildx.check_buildx", lambda: "0.13")
    monkeypatch.setattr(image, "bring_files", bring_files)
    dirs = Dirs(cache=tmp_path, state=tmp_path, config=tmp_path)
    engine: Any = SimpleNamespace(image_id=lambda _: None)
    settings: Any = None
    session = Session(
        dirs=dirs, settings=settings, engine=lambda: engine, stages=Stages(Console(quiet=True)), carried={}
    )
    decided = Decided(loaded=loaded(), lock=lock(), plan=plan(loaded(), lock()))
    image.make_image(decided, session, no_cache=no_cache)
    assert asked == [no_cache, no_cache, no_cache]

    checked: list[str] = []

    def check(_: Decided, made: Image, __: Session) -> None:
        checked.append(made.reference)

    image.make_image(dataclasses.replace(decided, check=check), session)
    assert checked == ["devenv/demo:1"]
    del asked[:]
    pulled = Image(reference="devenv/demo:pulled", id="sha256:2", cached=False)
    _, made = image.make_image(dataclasses.replace(decided, elsewhere=lambda _: pulled, check=check), session)
    assert (made, asked, checked) == (pulled, [], ["devenv/demo:1"]), "it is not built"


@pytest.mark.parametrize("fails", [False, True])
def test_the_image_below_a_snapshots_layer_is_made_again(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An engine that was cleaned has only images of containers; `diff` compares with the one below."""
    made: list[str] = []

    def elsewhere(_: Session) -> Image:
        if fails:
            raise FetchError("no network")
        made.append(decided.plan.image)
        return Image(reference=decided.plan.image, id="sha256:1", cached=False)

    layer = Delta(path=tmp_path / "layer.tar", sha256="5" * 64, snapshot="demo-1")
    decided = Decided(
        loaded=loaded(), lock=lock(), plan=plan(loaded(), lock()), delta=layer, elsewhere=elsewhere
    )  # fmt: skip
    monkeypatch.setattr("devenv.doors.docker.buildx.check_buildx", lambda: "0.13")
    dirs = Dirs(cache=tmp_path, state=tmp_path, config=tmp_path)
    engine: Any = SimpleNamespace(image_id=lambda tag: "sha256:2" if tag.endswith("-" + "5" * 16) else None)
    settings: Any = None
    session = Session(dirs=dirs, settings=settings, engine=lambda: engine, stages=Stages(Console()), carried={})
    _, found = image.make_image(decided, session)
    assert (found.id, made) == ("sha256:2", [] if fails else [decided.plan.image])
    assert ("cannot be made now: no network" in capsys.readouterr().err) is fails


@pytest.mark.parametrize(
    ("spec", "image", "fresh", "words"),
    [
        ("same", "a", True, "you asked for a new container; its volumes are kept"),
        ("same", "a", False, "the token is new"),
        ("other", "a", True, "ports, volumes, services, checks, GPUs or the user changed"),
        ("other", "b", True, "the image changed"),  # of a snapshot, over that of the same plan
    ],
)
def test_what_is_said_to_have_changed_did(spec: str, image: str, fresh: bool, words: str) -> None:
    decided = Decided(loaded=loaded(), lock=lock(), plan=plan(loaded(), lock()))
    facts = SimpleNamespace(labels={"dev.devenv.image": decided.plan.image}, state="running", image="a")
    running: Any = SimpleNamespace(
        spec_digest="same", lock_digest=decided.lock.digest, facts=facts, role="workbench", base_path=None
    )
    wanted: Any = SimpleNamespace(labels=(("dev.devenv.spec", spec),), image=image)
    assert up._changes(running, decided, wanted, Token("a", True), Wishes(fresh=fresh)).startswith(words)


def test_only_images_that_were_not_there_are_remembered_as_this_users(tmp_path: Path) -> None:
    decided = Decided(loaded=loaded(), lock=lock(), plan=plan(loaded(), lock()))
    session: Any = SimpleNamespace(dirs=Dirs(cache=tmp_path, state=tmp_path, config=tmp_path))
    editor = decided.plan.editor_image
    assert editor
    engine: Any = SimpleNamespace(image_id=lambda tag: "sha256:1" if tag == editor else None)
    image._keep_tags(decided, session, engine)
    assert own_images.is_own(session.dirs.images, decided.plan.image)
    assert not own_images.is_own(session.dirs.images, editor)


def test_files_are_fetched_from_what_the_preset_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: dict[str, Any] = {}

    def fetched(*_: object, **more: Any) -> SimpleNamespace:
        named.update(more)
        return SimpleNamespace(files=0)

    monkeypatch.setattr("devenv.fetch.fetch.fetch", fetched)
    monkeypatch.setattr("devenv.fetch.declared.check_all", lambda *_: None)
    dirs = Dirs(cache=tmp_path, state=tmp_path, config=tmp_path)
    engine, settings = None, None
    session = Session(
        dirs=dirs, settings=settings, engine=lambda: engine, stages=Stages(Console(quiet=True)), carried={}  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    wish = preset(pip=("odd @ git+https://h.example/odd.git@v1",))
    image.bring_files(handmade_loaded(wish), lock(), session)
    assert named["repositories"]["odd"].url == "https://h.example/odd.git"
