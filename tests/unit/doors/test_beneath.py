"""Files of a folder in which others write: no link is followed, nothing is half there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from devenv.doors import beneath
from devenv.doors.beneath import ChangedError, Entry


def _entry(text: bytes, kind: str = "f") -> Entry:
    return Entry(kind=kind, size=len(text), digest=hashlib.sha256(text).hexdigest())


def test_a_file_is_put_only_where_it_is_expected(tmp_path: Path) -> None:
    beneath.replace(tmp_path, "a/b", _entry(b"one"), [b"on", b"e"], None)
    with pytest.raises(ChangedError):
        beneath.replace(tmp_path, "a/b", _entry(b"two"), [b"two"], None)
    with pytest.raises(ChangedError):
        beneath.replace(tmp_path, "a/b", _entry(b"two"), [b"two"], _entry(b"other"))
    beneath.replace(tmp_path, "a/b", _entry(b"two", "x"), [b"two"], _entry(b"one"))
    assert (tmp_path / "a" / "b").read_bytes() == b"two"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o111
    assert [one.name for one in (tmp_path / "a").iterdir()] == ["b"]


def test_wrong_bytes_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ChangedError):
        beneath.replace(tmp_path, "a", _entry(b"one"), [b"two"], None)
    assert [one.name for one in (tmp_path).iterdir()] == []


@pytest.mark.parametrize("path", ["link/a", "link"])
def test_a_link_is_replaced_and_never_followed(tmp_path: Path, path: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "a").write_text("outside")
    (root / "link").symlink_to(outside)
    with pytest.raises(OSError):
        beneath.replace(root, path, _entry(b"x"), [b"x"], None)
    with pytest.raises(OSError):
        beneath.remove(root, "link/a", _entry(b"outside"))
    with pytest.raises(OSError), beneath.folder(root, ("link",)) as at:
        beneath.opened("a", at)
    assert (outside / "a").read_text() == "outside"


def test_removal_takes_empty_folders_and_keeps_a_copy(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "c").write_text("c")
    (root / "a" / "other").write_text("o")
    with pytest.raises(ChangedError):
        beneath.remove(root, "a/b/c", _entry(b"changed"))
    beneath.remove(root, "a/b/c", _entry(b"c"), tmp_path / "kept" / "c")
    assert [one.name for one in (root / "a").iterdir()] == ["other"]
    assert (tmp_path / "kept" / "c").read_text() == "c"


def test_pipes_and_folders_are_no_entries(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with beneath.folder(tmp_path, ()) as at:
        assert beneath.entry("pipe", at) is None
        assert beneath.entry("folder", at) is None
        with pytest.raises(ChangedError):
            beneath.opened("pipe", at)
