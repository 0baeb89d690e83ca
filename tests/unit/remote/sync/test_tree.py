"""One side of a project: what is listed, what is left out, and what another machine may say."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from devenv.doors.beneath import Entry
from devenv.remote.sync import tree
from devenv.remote.sync.tree import Scanner

SOME = "0" * 64


def test_files_programs_and_links_are_listed_and_ignored_ones_not(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("x")
    (tmp_path / "run").write_text("y")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "link").symlink_to("sub/a")
    (tmp_path / "out").symlink_to("/etc/passwd")
    (tmp_path / "up").symlink_to("../x")
    (tmp_path / ".gitignore").write_text("*.log\nsecret/\n")
    (tmp_path / "b.log").touch()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a\nb").touch()
    scanner = Scanner(root=tmp_path)
    found = scanner.scan()
    assert {path: one.kind for path, one in found.items()} == {"sub/a": "f", "run": "x", "link": "l", ".gitignore": "f"}
    assert found["link"].digest == "sub/a"
    assert set(scanner.left_out) == {"out", "up", "pipe", "a\nb"}
    assert scanner.is_whole


def test_a_linked_folder_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "project" / "real").mkdir(parents=True)
    (tmp_path / "project" / "real" / "a").touch()
    (tmp_path / "project" / "alias").symlink_to("real")
    assert set(Scanner(root=tmp_path / "project").scan()) == {"real/a", "alias"}


def test_a_changed_file_is_seen_although_size_and_time_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    scanner = Scanner(root=tmp_path)
    first = scanner.scan()["a"]
    path.write_text("two")
    os.utime(path, ns=(time.time_ns(), time.time_ns()))
    assert scanner.scan()["a"].digest != first.digest


def test_what_is_known_of_old_files_travels_to_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("one")
    monkeypatch.setattr(tree, "_SETTLED_NS", -1)
    first = Scanner(root=tmp_path)
    listed = first.scan()
    second = Scanner(root=tmp_path)
    second.learn(first.known())
    monkeypatch.setattr("devenv.doors.beneath.entry", lambda *_: pytest.fail("read again"))
    assert second.scan() == listed
    for wrong in (None, [], {"a": 1}, {"a": [["x"], 1, 2, 3]}, {"a": [None, "f", 1, SOME]}):
        second.learn(wrong)


def test_a_tree_survives_its_journey(tmp_path: Path) -> None:
    one = {"a b": Entry(kind="f", size=3, digest=SOME), "ü/l": Entry(kind="l", size=0, digest="../a b")}
    assert tree.from_bytes(tree.to_bytes(one)) == one


@pytest.mark.parametrize(
    "line",
    [
        f"f\t1\t{SOME}\t../x", f"f\t1\t{SOME}\t/etc/x", f"f\t1\t{SOME}\ta//b", f"f\t1\t{SOME}\t.git/hooks/pre-commit",
        f"f\t1\t{SOME}\tsub/.GIT/config", "f\t1\tzz\ta", f"f\t-1\t{SOME}\ta", f"f\t{1 << 40}\t{SOME}\ta", "l\t0\t/etc\ta", "l\t0\t../..\ta/b",
        "l\t0\t.git/config\ta", f"d\t1\t{SOME}\ta", f"f\t1\t{SOME}", f"f\t1\t{SOME}\ta\x1b[0m", "l\t0\t\ta", f"f\t1\t{SOME}\t{'x' * 300}",
        f"f\t{'9' * 5000}\t{SOME}\ta", f"f\t1\t{SOME}\t.devenv-sync-x",
    ],
)  # fmt: skip
def test_what_another_machine_may_not_say(line: str) -> None:
    with pytest.raises(ValueError):
        tree.from_bytes(f"{line}\n".encode())


def test_this_machines_rules_hold_for_the_other_list(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("secret\n")
    scanner = Scanner(root=tmp_path)
    scanner.scan()
    theirs = {name: Entry(kind="f", size=0, digest=SOME) for name in ("a", "secret", "x/secret", "secret/y", "new/a")}
    assert set(tree.without_ignored(theirs, scanner.rules_of)) == {"a", "new/a"}


def test_too_many_files_are_not_taken_for_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MOST_FILES", 2)
    for name in "abc":
        (tmp_path / name).touch()
    scanner = Scanner(root=tmp_path)
    assert len(scanner.scan()) == 2
    assert not scanner.is_whole
