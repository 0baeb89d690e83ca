"""A lock whose model is not pinned yet: its shape, its fit, and the sources of its record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.web import Web
from devenv.errors import LockError
from devenv.fetch.store import Store
from devenv.lock import drift, files
from devenv.lock.diff import changes
from devenv.lock.model import Lock, LockedModel, ModelFile, files_digest, read
from devenv.preset.model import Preset
from devenv.resolve import model, pin_model
from devenv.resolve.model import Told
from devenv.resolve.previous import Earlier
from tests.unit.handmade import loaded, lock, preset, settings

WISH = {"huggingface": {"id": "acme/tiny", "revision": "c" * 40}, "modelscope": {"id": "acme/tiny", "revision": "v1"}}
FILES = (ModelFile(path="model.safetensors", size=7, sha256="ab" * 32),)
SOURCES = [
    {"hub": "huggingface", "id": "acme/tiny", "revision": "c" * 40},
    {"hub": "modelscope", "id": "acme/tiny", "revision": "v1"},
]
MODEL = LockedModel.model_validate({
    "name": "tiny", "digest": files_digest(FILES), "sources": SOURCES, "files": [one.model_dump() for one in FILES],
})  # fmt: skip


def _preset(**changes_: Any) -> Preset:
    return preset(model=WISH, **changes_)


def _open(wish: Preset) -> Lock:
    return lock(wish, open=("model",))


@pytest.fixture
def hubs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Stand-ins for the hubs, which list MODEL. Requests are recorded."""
    asked: list[tuple[str, ...]] = []

    def resolve(*_: Any, asked: tuple[str, ...], into: Any = asked, **__: Any) -> Told:
        into.append(asked)
        return Told(model=MODEL, answered=("modelscope",), unreached=("cannot ask huggingface",))

    monkeypatch.setattr(model, "resolve_model", resolve)
    return asked


def _complete(wish: Preset, root: Path, **more: Any) -> tuple[Lock, pin_model.Recorded]:
    return pin_model.complete(
        _open(wish), wish, root / "x.lock", settings=settings(root), store=Store(root / "store"), **more
    )


def test_it_is_written_read_and_fits_its_preset(tmp_path: Path) -> None:
    path = tmp_path / "devenv.lock"
    files.write(_open(_preset()), path)
    assert read(path) == _open(_preset())
    assert json.loads(path.read_text())["open"] == ["model"]
    assert drift.compare(read(path), _preset()) == ()
    assert {one.section for one in drift.compare(read(path), preset())} == {"model"}


def test_a_lock_with_nothing_open_says_nothing_of_it() -> None:
    assert '"open"' not in lock(preset()).dump()


@pytest.mark.parametrize(
    ("wish", "more", "words"),
    [
        (_preset(), {"open": ("model",), "model": MODEL}, "both open and recorded"),
        (preset(), {"open": ("model",)}, "the lock is for none"),
        (_preset(), {}, "but has none"),
        (_preset(), {"open": ()}, "at open"),
        (_preset(), {"open": ("wheels",)}, "at open"),
    ],
)
def test_a_lock_that_contradicts_itself_is_refused(
    wish: Preset, more: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "devenv.lock"
    files.write(lock(wish, **more), path)
    with pytest.raises(LockError, match=words):
        read(path)


def test_recording_completes_the_lock_and_says_it_in_a_line(tmp_path: Path, hubs: list[tuple[str, ...]]) -> None:
    made, recorded = _complete(_preset(), tmp_path, asked=("modelscope",))
    assert made == lock(_preset(), model=MODEL)
    assert hubs == [("modelscope",)]
    said = recorded.words()
    assert "\n" not in said
    assert all(one in said for one in ("tiny", "modelscope", "v1", "1 files", "7 B", MODEL.digest))
    assert recorded.remarks() == (
        "cannot ask huggingface; so the model is recorded from modelscope alone",
        "modelscope's revision 'v1' is a name that may move: the lock records its present files",
    )
    both = dataclasses.replace(recorded, hubs=("huggingface", "modelscope"), unreached=())
    assert both.remarks() == (), "a commit that answered says what it is"
    assert changes(_open(_preset()), made)[0].new == MODEL.digest[:12]


def test_a_record_of_this_machine_serves_every_preset_with_the_same_pins(
    tmp_path: Path, hubs: list[tuple[str, ...]]
) -> None:
    mine = settings(tmp_path).dirs.locks
    files.write(lock(_preset(), model=MODEL), mine / "other-0123456789abcdef.lock")
    (mine / "broken-0123456789abcdef.lock").write_text("{")
    made, recorded = _complete(_preset(name="second"), tmp_path)
    assert (made.model, hubs, recorded.hubs) == (MODEL, [], ())
    assert "earlier record of this machine" in recorded.words()
    others = {**WISH, "deny": ("*.bin",)}
    pin_model.complete(
        _open(preset(model=others)), preset(model=others), tmp_path / "x.lock",
        settings=settings(tmp_path), store=Store(tmp_path / "store"),
    )  # fmt: skip
    assert len(hubs) == 1, "other pins are another model"


def test_a_record_that_was_tampered_with_serves_nobody(tmp_path: Path, hubs: list[tuple[str, ...]]) -> None:
    path = settings(tmp_path).dirs.locks / "other-0123456789abcdef.lock"
    files.write(lock(_preset(), model=MODEL), path)
    path.write_text(path.read_text().replace("ab" * 32, "cd" * 32))
    _complete(_preset(), tmp_path)
    assert len(hubs) == 1


def test_the_hubs_can_be_asked_in_any_case(tmp_path: Path, hubs: list[tuple[str, ...]]) -> None:
    files.write(lock(_preset(), model=MODEL), settings(tmp_path).dirs.locks / "other-0123456789abcdef.lock")
    chosen = settings(tmp_path)
    pins = drift.inputs(_preset())["model"]
    with Web(chosen) as web:
        pin_model.record(_preset(), pins, settings=chosen, web=web, store=Store(tmp_path), known=False)
    assert len(hubs) == 1


def test_a_child_takes_a_model_that_either_earlier_lock_has() -> None:
    wish = _preset()

    def take(parent: Lock | None, previous: Lock | None) -> Any:
        found = Earlier(
            parent=parent, previous=previous, upgrade=frozenset(), inputs=drift.inputs(wish), platform="linux/amd64",
            depth=1,
        )  # fmt: skip
        return found.take("model", lambda one: one.model, fits=lambda one: one.model is not None)

    recorded = lock(wish, model=MODEL)
    assert take(recorded, _open(wish)) == MODEL
    assert take(_open(wish), recorded) == MODEL
    assert take(_open(wish), _open(wish)) is None


def test_the_completed_lock_of_a_shipped_preset_lies_with_the_user(tmp_path: Path) -> None:
    dirs = settings(tmp_path).dirs
    one = loaded(_preset(), tmp_path / "presets/t/preset.yaml", shipped=True)
    (tmp_path / "presets/t").mkdir(parents=True)
    files.write(_open(_preset()), files.beside(one.path))
    assert files.lock_path(one, dirs) == files.beside(one.path)
    where = files.relocked_path(one, dirs)
    assert where.parent == dirs.locks
    files.write(lock(_preset(), model=MODEL), where)
    assert files.lock_path(one, dirs) == where
    # Another devenv ships another lock: that is not met by this record, but its model is taken from here.
    files.write(_open(_preset(apt=("jq",))), files.beside(one.path))
    assert files.lock_path(one, dirs) == files.beside(one.path)
