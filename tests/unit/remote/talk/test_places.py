"""Places on a box: two laptops and two projects never share one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from devenv.errors import UsageError
from devenv.remote import parcel
from devenv.remote.talk import places
from devenv.remote.talk.places import There


def test_laptops_and_projects_are_told_apart() -> None:
    every = {There.of(laptop, Path(path)).text for laptop in ("a", "b") for path in ("/x/p", "/y/p")}
    assert len(every) == 4
    assert There.of("a", Path("/x/p")).text == There.of("a", Path("/x/p")).text
    assert There.of("a", Path("/x/-ä b$(id)")).name == "b-id-"
    assert There.of("a", Path("/")).name == "project"


@pytest.mark.parametrize(
    "text", ["", "-", "../../etc", "0123456789abcdef/../x", "0123456789abcdef/", "0123456789abcdef/.x", "x/y"]
)
def test_only_such_names_are_read(text: str) -> None:
    with pytest.raises(UsageError):
        There.parse(text)


def test_words_reach_the_box_as_they_are() -> None:
    """The client gives one line to a login shell, and that one gives words to sh: quotes hold in both, without a
    backslash, which other shells read in their own way."""
    words = places.start("key", "exec", "--", "a b", "$(id)", "it's", "*")
    line = shlex.join(words)
    assert shlex.split(line) == list(words)
    assert "\\" not in line


def test_this_devenv_has_one_name_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "devenv/remote/parcel.py" in parcel.own_files()
    assert "devenv/_share/presets/python/preset.yaml" in parcel.own_files()
    assert not [name for name in parcel.own_files() if "__pycache__" in name]
    kept = tmp_path / "key"
    assert parcel.known_key(kept) == parcel.key()
    monkeypatch.setattr(parcel, "key", lambda: pytest.fail("read again"))
    parcel.known_key(kept)
    assert any(pin.startswith("docker==") for pin in parcel.pins())
    assert not any(pin.startswith(("pytest==", "mypy==", "devenv==")) for pin in parcel.pins())
