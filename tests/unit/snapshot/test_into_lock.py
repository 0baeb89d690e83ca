"""What goes into preset and lock: nothing that would bring another version than the environment has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from devenv.drift.items import Item
from devenv.drift.patch import Patch
from devenv.errors import FetchError
from devenv.lock.files import beside
from devenv.lock.model import Lock
from devenv.resolve.relock import Relocked
from devenv.snapshot import into_lock
from devenv.snapshot.into_lock import Locked, lock_packages
from devenv.up.session import Session
from tests.unit import examples, handmade
from tests.unit.handmade import settings

PRESET = "name: demo\nbase: {bootstrap: debian/bookworm}\npython: '3.11'\npip:\n- pillow\napt:\n- git\nnode: 24.19.0\n"
COMPOSED = {"pip": ["pillow"], "apt": ["git"], "node": "24.19.0"}


def a_patch(**add: tuple[str, ...]) -> Patch:
    return Patch(add=add, replace={}, remove={}, files={}, left=())


def _python(name: str, now: str, change: str = "added", **values: Any) -> Item:
    return Item(kind="python", change=change, name=name, now=now, asked_for=True, **values)


def _apt(name: str, now: str, change: str = "added", **values: Any) -> Item:
    return Item(kind="apt", change=change, name=name, now=now, **{"asked_for": True, **values})


OLD = examples.lock()
WHEELS = OLD.wheels


def _new(**changes: Any) -> Locked:
    return Locked(patch=a_patch(), before=OLD, lock=examples.lock(**changes))


def test_packages_in_the_lock_are_said() -> None:
    locked = _new(wheels=(*WHEELS, examples.wheel("six", "1.16")))
    assert locked.says(_python("six", "1.16"))
    assert not locked.says(_python("six", "1.17"))
    for odd in ({"origin": "git+x"}, {"note": "for the user"}, {"change": "edited"}, {"change": "editable"}):
        assert not locked.says(_python("six", "1.16", **odd))
    assert locked.says(_python("attrs", "", "removed"))
    assert not locked.says(_python("pillow", "", "removed"))  # a dependency of another
    assert not locked.says(_apt("tree", "1"))
    assert not locked.says(Item(kind="file", change="added", name="/a"))


def test_npm_packages_are_said_by_name_and_version() -> None:
    patch = dataclasses.replace(
        a_patch(npm=("a@1.0.0",)), replace={"npm": {"b@1.0.0": "b@2.0.0"}}, remove={"npm": ("c",)}
    )
    locked = Locked(patch=patch, before=OLD, lock=OLD)
    said = [("a", "1.0.0"), ("b", "2.0.0"), ("c", "")]
    assert all(locked.says(Item(kind="npm", change="changed", name=name, now=now)) for name, now in said)
    assert not locked.says(Item(kind="npm", change="added", name="a", now="2.0.0"))


OTHERS: dict[str, tuple[list[Item], dict[str, Any], str]] = {
    "as it is": ([], {}, ""),
    "what was asked for": ([_python("six", "1")], {"wheels": (*WHEELS, examples.wheel("six", "1"))}, ""),
    "a dependency that has a newer version by now": (
        [_python("a", "1"), _python("b", "1")],
        {"wheels": (*WHEELS, examples.wheel("a", "1"), examples.wheel("b", "2"))}, "b 2",
    ),
    "a dependency that the environment lacks": (
        [_python("a", "1")], {"wheels": (*WHEELS, examples.wheel("a", "1"), examples.wheel("b", "2"))}, "b 2",
    ),
    "an unchanged package that the resolver moved": (
        [_python("a", "1")], {"wheels": (examples.wheel("jupyterlab", "2"), WHEELS[1], examples.wheel("a", "1"))},
        "jupyterlab 2",
    ),
    "a changed package that the lock keeps, whose files go into the layer": (
        [_python("pillow", "9", "changed", origin="git+x"), _python("a", "1")],
        {"wheels": (*WHEELS, examples.wheel("a", "1"))}, "",
    ),
    "a removed package": ([_python("pillow", "", "removed")], {"wheels": WHEELS[:1]}, ""),
    "a removed package that another needs": ([_python("pillow", "", "removed")], {}, ""),
    "a dependency that stayed when its package was removed": (
        [_python("pillow", "", "removed")], {"wheels": ()}, "jupyterlab",
    ),
    "a package outside of the environment's Python": ([_python("pillow", "9", note="for the user")], {}, ""),
    "a Debian package": ([_apt("tree", "1")], {"apt": (*OLD.apt, examples.deb("tree", "1"))}, ""),
    "a Debian package that the archive replaced": (
        [_apt("tree", "1")], {"apt": (*OLD.apt, examples.deb("tree", "2"))}, "tree 1",
    ),
    "an upgraded Debian package that the lock keeps": (
        [_apt("tree", "1"), _apt("git", "9", "changed", asked_for=False)],
        {"apt": (*OLD.apt, examples.deb("tree", "1"))}, "git 1.0-1",
    ),
    "an upgraded Debian package, where no Debian package is locked": (
        [_apt("git", "9", "changed", asked_for=False)], {}, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("items", "changes", "other"), OTHERS.values(), ids=OTHERS)
def test_a_lock_that_would_bring_something_else(items: list[Item], changes: dict[str, Any], other: str) -> None:
    assert _new(**changes).other(items) == other


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "preset.yaml").write_text(PRESET)
    beside(tmp_path / "preset.yaml").write_text(OLD.dump())
    return tmp_path


@pytest.fixture
def lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Sequence[Item], Callable[[str], Lock]], tuple[Locked | None, list[str]]]:
    """`lock_packages` with a resolver that is given: the preset's text → a lock, or an error."""

    def act(items: Sequence[Item], resolve: Callable[[str], Lock]) -> tuple[Locked | None, list[str]]:
        def relock(before: Any, context: Any) -> Relocked:
            new = resolve((folder / "preset.yaml").read_text())
            before.path.write_text(new.dump())
            return Relocked(lock=new, path=before.path, earlier=before.lock)

        monkeypatch.setattr(into_lock, "relock", relock)
        session: Session = handmade.session(settings(folder))
        notes: list[str] = []
        monkeypatch.setattr(type(session.stages), "note", lambda _, words: notes.append(words))
        return lock_packages(folder, items, COMPOSED, session), notes

    return act


def test_preset_and_lock_are_written(folder: Path, lock: Any) -> None:
    new = examples.lock(wheels=(*WHEELS, examples.wheel("six", "1")))
    locked, notes = lock([_python("six", "1")], lambda _: new)
    assert (locked.lock, notes) == (new, [])
    text = (folder / "preset.yaml").read_text()
    assert "- six==1\n" in text
    # Extended, so that the new package has an image layer of its own.
    assert text.startswith("extends: ./carried.yaml\nname: demo\n")
    assert (folder / "carried.yaml").read_text() == PRESET
    assert beside(folder / "preset.yaml").read_text() == new.dump()


def test_nothing_to_lock_asks_no_index(folder: Path, lock: Any) -> None:
    def never(_: str) -> Lock:
        raise AssertionError

    assert lock([], never) == (None, [])
    assert lock([Item(kind="file", change="added", name="/a", paths=("/a",))], never) == (None, [])


def test_without_a_network_both_files_are_as_they_were(folder: Path, lock: Any) -> None:
    def fail(_: str) -> Lock:
        raise FetchError("no index can be reached")

    locked, notes = lock([_python("six", "1")], fail)
    assert locked is None
    assert notes == ["packages are kept as files, because they cannot be locked now: no index can be reached"]
    assert (folder / "preset.yaml").read_text() == PRESET
    assert beside(folder / "preset.yaml").read_text() == OLD.dump()
    assert sorted(one.name for one in folder.iterdir()) == sorted({"preset.yaml", beside(folder / "preset.yaml").name})


def test_an_index_that_went_on_changes_nothing(folder: Path, lock: Any) -> None:
    new = examples.lock(wheels=(*WHEELS, examples.wheel("a", "1"), examples.wheel("b", "2")))
    locked, notes = lock([_python("a", "1"), Item(kind="python", change="added", name="b", now="1")], lambda _: new)
    assert locked is None
    assert notes[0].endswith("others than the environment has: b 2")
    assert (folder / "preset.yaml").read_text() == PRESET


def test_python_is_locked_where_debian_packages_cannot_be(folder: Path, lock: Any) -> None:
    wheels = (*WHEELS, examples.wheel("six", "1"))

    def resolve(text: str) -> Lock:
        return examples.lock(wheels=wheels, apt=(*OLD.apt, examples.deb("tree", "2")) if "- tree" in text else OLD.apt)

    locked, notes = lock([_python("six", "1"), _apt("tree", "1")], resolve)
    assert locked.says(_python("six", "1"))
    assert not locked.has_apt
    assert notes[0].startswith("Debian packages are kept as files")
    assert "tree" not in (folder / "preset.yaml").read_text()


def test_debian_packages_that_no_preset_can_name_keep_all_of_them_out(folder: Path, lock: Any) -> None:
    def never(_: str) -> Lock:
        raise AssertionError

    assert lock([_apt("tree", "1"), _apt("git", "2", "edited", paths=("/a",))], never)[0] is None
