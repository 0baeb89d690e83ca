"""What `push` shares, and what is left here of a snapshot that it took."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.build.delta import Delta
from devenv.build.image import Image
from devenv.errors import ShareError, UsageError
from devenv.plan.plan import plan
from devenv.secrets.known import KnownValues
from devenv.share import subject as module
from devenv.share.subject import of_environment, of_preset, of_snapshot
from devenv.snapshot import bring_back
from devenv.snapshot.store import Snapshot, Snapshots
from devenv.snapshot.take import Taken, Wanted
from devenv.up.decide import Decided
from devenv.up.session import Session
from tests.unit import examples
from tests.unit.share import models
from tests.unit.share.made import session

NOBODY = KnownValues.of([])
RUNNING: Any = SimpleNamespace(name="demo")
IMAGE = Image(reference="devenv/demo:1", id="sha256:1", cached=True)


@pytest.fixture
def decided() -> Decided:
    return Decided(loaded=examples.loaded(), lock=examples.lock(), plan=plan(examples.loaded(), examples.lock()))


@pytest.fixture
def given(tmp_path: Path, decided: Decided, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Where every image is made, and none with a delta."""

    def make_image(wanted: Decided, _: Session) -> tuple[Decided, Image]:
        assert wanted.delta is None, "the image of preset and lock alone is shared"
        return wanted, IMAGE

    delta = Delta(path=tmp_path / "layer.tar", sha256="5" * 64, snapshot="x")
    monkeypatch.setattr(module, "make_image", make_image)
    monkeypatch.setattr(bring_back, "decided", lambda *_: dataclasses.replace(decided, delta=delta))
    return session(tmp_path)


def _keep(given: Session, name: str, **facts: Any) -> Snapshot:
    made = Snapshot(
        name=name, environment="demo", preset="demo", message="", made="2026-01-01T00:00:00+00:00", user="me",
        lock_digest="x", **facts,
    )  # fmt: skip
    with Snapshots(given.dirs.snapshots).new(name, lambda: None) as place:
        Snapshots(given.dirs.snapshots).write(place, made)
    return made


def _taking(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> list[Wanted]:
    """Have every snapshot of the environment be like that."""
    asked: list[Wanted] = []

    def take(running: Any, wanted: Wanted, _: KnownValues, given: Session) -> Taken:
        assert running is RUNNING
        asked.append(wanted)
        return Taken(snapshot=_keep(given, wanted.name, **facts), locked=None, left_out=())

    monkeypatch.setattr(module, "take", take)
    return asked


def _names(given: Session) -> list[str]:
    return [one.name for one in Snapshots(given.dirs.snapshots).every()]


def test_an_unchanged_environment_is_its_image_and_leaves_no_snapshot(
    given: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _taking(monkeypatch)
    with of_environment(RUNNING, NOBODY, given, message="pushed") as found:
        assert (found.image, found.snapshot) == (IMAGE, None)
    assert _names(given) == []
    assert [one.message for one in asked] == ["pushed"]


def test_a_changed_environment_is_kept_and_said_so(
    given: Session, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    asked, notes = _taking(monkeypatch, layer_sha256="5" * 64), list[str]()
    monkeypatch.setattr(given.stages, "note", notes.append)
    with of_environment(RUNNING, NOBODY, given, message="") as found:
        assert found.snapshot
        assert found.snapshot.name == asked[0].name
    assert _names(given) == [asked[0].name]
    assert asked[0].name in notes[0]


def test_a_push_that_fails_leaves_no_empty_snapshot(given: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    _taking(monkeypatch)
    with pytest.raises(ShareError), of_environment(RUNNING, NOBODY, given, message=""):
        raise ShareError("503")
    assert _names(given) == []


@pytest.mark.parametrize(
    ("facts", "has_more"), [({}, False), ({"layer_sha256": "5" * 64}, True), ({"volumes": {"/mnt/demo": 5}}, True)]
)
def test_a_snapshot_with_nothing_more_is_its_image(facts: Any, has_more: bool, given: Session) -> None:
    kept = _keep(given, "mine", **facts)
    found = of_snapshot(kept, given)
    assert (found.image, found.snapshot) == (IMAGE, kept if has_more else None)


def test_a_preset_is_built(given: Session, decided: Decided, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "devenv.yaml").write_text("")
    asked: list[Path] = []

    def decide(path: Path, _: Session) -> Decided:
        asked.append(path)
        return decided

    monkeypatch.setattr(module, "decide", decide)
    assert of_preset(None, tmp_path, given).image == IMAGE
    assert asked == [tmp_path / "devenv.yaml"]


def test_a_model_that_is_shared_too_has_to_be_here_before_an_image_is_made(
    given: Session, decided: Decided, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = dataclasses.replace(decided, lock=models.LOCK)
    monkeypatch.setattr(module, "decide", lambda *_: wanted)
    monkeypatch.setattr(module, "find", lambda *_: Path("devenv.yaml"))
    assert of_preset(None, Path(), given).decided == wanted
    monkeypatch.setattr(module, "make_image", None)
    with pytest.raises(UsageError, match=r"2 files of tiny-.* are not on this machine"):
        of_preset(None, Path(), given, weights=True)
