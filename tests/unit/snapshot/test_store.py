"""The folder of snapshots: whole or not there, and what is unreadable is named."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from devenv.errors import ShareError, UsageError
from devenv.snapshot.store import Snapshot, Snapshots


def _snapshot(name: str, **values: Any) -> Snapshot:
    facts = {
        "environment": "demo",
        "preset": "python",
        "message": "m",
        "made": "2026-01-01T00:00:00+00:00",
        "user": "u",
    }
    return Snapshot(name=name, lock_digest="d", **{**facts, **values})


def _quiet() -> None:
    pass


def _kept(folder: Path, name: str, **values: Any) -> Snapshot:
    kept, made = Snapshots(folder), _snapshot(name, **values)
    with kept.new(name, _quiet) as place:
        (place / "layer.tar").write_bytes(b"x" * 10)
        kept.write(place, made)
    return made


def test_a_round_trip(tmp_path: Path) -> None:
    made = _kept(tmp_path, "one", allowed=("/a",), volumes={"/mnt/demo": 5}, message="grüße\x1b[31m")
    kept = Snapshots(tmp_path)
    assert kept.get("one") == made
    assert kept.size(made) > 10
    assert kept.preset(made) == tmp_path / "one/preset/preset.yaml"
    mounts = ("/mnt/demo/x", "/mnt/demo-x", "/mnt-demo/x", f"/{'ü' * 200}")
    files = {kept.volume(made, mount) for mount in mounts}
    assert len(files) == len(mounts)
    assert all(file.parent == tmp_path / "one/volumes" and len(file.name) < 64 for file in files)
    assert kept.delta(made) is None


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    _kept(tmp_path, "a", made="2026-01-02T00:00:00+00:00")
    _kept(tmp_path, "b", made="2026-01-01T00:00:00+00:00")
    assert [one.name for one in Snapshots(tmp_path).every()] == ["b", "a"]
    assert Snapshots(tmp_path / "nowhere").every() == ()


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "a" * 41, ".unfinished-x", "-a", "python", "rapidocr"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        Snapshots(tmp_path).check_new(name)
    with pytest.raises(UsageError), Snapshots(tmp_path).new(name, _quiet):
        pass


def test_a_name_that_exists(tmp_path: Path) -> None:
    _kept(tmp_path, "one")
    with pytest.raises(UsageError, match="there is a snapshot one already"):
        Snapshots(tmp_path).check_new("one")


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Snapshots(tmp_path).new("one", _quiet):
        raise KeyError
    with pytest.raises(ShareError, match="no space") as caught, Snapshots(tmp_path).new("one", _quiet):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.hint == "free disk space"
    assert [one.name for one in tmp_path.iterdir()] == [".lock"]


def test_what_a_killed_run_left_goes_with_the_next_snapshot(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-abc/preset").mkdir(parents=True)
    assert Snapshots(tmp_path).every() == ()
    _kept(tmp_path, "one")
    assert sorted(one.name for one in tmp_path.iterdir()) == [".lock", "one"]


GARBAGE = {
    "empty": b"", "no JSON": b"{", "no text": b"\xff\xfe", "a list": b"[]", "half": b'{"name": "bad"}',
}  # fmt: skip


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_named_and_can_be_removed(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/snapshot.json").write_bytes(text)
    _kept(tmp_path, "good")
    kept = Snapshots(tmp_path)
    assert [one.name for one in kept.every()] == ["good"]
    assert kept.unreadable() == ("bad",)
    with pytest.raises(UsageError, match="the snapshot bad cannot be read"):
        kept.get("bad")
    kept.remove("bad", _quiet)
    assert kept.unreadable() == ()
    assert not kept.exists("bad")


def test_a_newer_format_is_not_read_and_newer_keys_are(tmp_path: Path) -> None:
    _kept(tmp_path, "one")
    record = tmp_path / "one/snapshot.json"
    facts = json.loads(record.read_text())
    record.write_text(json.dumps({**facts, "colour": "blue"}))
    assert Snapshots(tmp_path).find("one")
    record.write_text(json.dumps({**facts, "format": 2}))
    assert Snapshots(tmp_path).find("one") is None
    assert Snapshots(tmp_path).unreadable() == ("one",)


def test_another_name_inside_is_not_believed(tmp_path: Path) -> None:
    _kept(tmp_path, "one")
    (tmp_path / "one").rename(tmp_path / "two")
    assert Snapshots(tmp_path).unreadable() == ("two",)


def test_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    _kept(tmp_path, "one")
    record = tmp_path / "one/snapshot.json"
    record.rename(tmp_path / "elsewhere.json")
    record.symlink_to(tmp_path / "elsewhere.json")
    assert Snapshots(tmp_path).unreadable() == ("one",)


def test_unknown_names_are_told_with_the_known_ones(tmp_path: Path) -> None:
    _kept(tmp_path, "one")
    for act in (Snapshots(tmp_path).get, lambda name: Snapshots(tmp_path).remove(name, _quiet)):
        for name in ("two", "../one", ".lock"):
            with pytest.raises(UsageError, match="snapshots here: one"):
                act(name)
