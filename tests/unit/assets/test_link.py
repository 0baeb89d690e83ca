from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

from devenv.doors.dirs import templates_dir

BLOCK = 4096


def link(*arguments: Path) -> None:
    runpy.run_path(str(templates_dir() / "build/link.py"))["main"](*map(str, arguments))


def inode(path: Path) -> int:
    return path.stat().st_ino


def write(path: Path, content: bytes, mode: int = 0o644) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    names = [write(tmp_path / name, b"x" * BLOCK) for name in ("b/lib.so", "a/lib.so.1", "a/lib.so.1.2")]
    other = write(tmp_path / "a/other", b"x" * (BLOCK - 1) + b"y")
    link(tmp_path)
    assert len({inode(name) for name in names}) == 1
    assert all(name.read_bytes() == b"x" * BLOCK for name in names)
    assert other.read_bytes().endswith(b"y")
    assert other.stat().st_nlink == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "lib.so", "lib.so.1", "lib.so.1.2", "other"]


def test_all_names_of_two_files_become_one(tmp_path: Path) -> None:
    for pair in ("ab", "cd"):
        first = write(tmp_path / pair[0], b"x" * BLOCK)
        (tmp_path / pair[1]).hardlink_to(first)
    link(tmp_path)
    assert (tmp_path / "a").stat().st_nlink == 4


@pytest.mark.parametrize("mode", [0o755, 0o600, 0o4644])
def test_modes_are_kept(tmp_path: Path, mode: int) -> None:
    one, other = write(tmp_path / "one", b"x" * BLOCK), write(tmp_path / "other", b"x" * BLOCK, mode)
    link(tmp_path)
    assert inode(one) != inode(other)
    assert other.stat().st_mode & 0o7777 == mode


def test_what_stands_in_attributes_is_kept(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", b"x" * BLOCK), write(tmp_path / "other", b"x" * BLOCK)
    try:
        os.setxattr(other, "user.note", b"capable")
    except OSError:
        pytest.skip("this file system has no attributes")
    link(tmp_path)
    assert inode(one) != inode(other)
    assert os.getxattr(other, "user.note") == b"capable"


def test_small_files_links_and_folders_are_left(tmp_path: Path) -> None:
    small = [write(tmp_path / name, b"x" * (BLOCK - 1)) for name in "ab"]
    (tmp_path / "c").symlink_to("a")
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "e")
    link(tmp_path)
    assert inode(small[0]) != inode(small[1])
    assert (tmp_path / "c").is_symlink()


def test_what_was_there_before_is_left(tmp_path: Path) -> None:
    """A lower layer's file would be copied up to become one with a new one."""
    since = tmp_path / "since"
    files = tmp_path / "files"
    old = write(files / "old", b"x" * BLOCK)
    before = old.stat()
    write(since, b"")
    # Later than any file system's clock may tell apart.
    os.utime(since, ns=(before.st_ctime_ns + 10_000_000,) * 2)
    new = [files / "new", files / "newer"]
    while not new[-1].exists() or new[0].stat().st_ctime_ns <= since.stat().st_mtime_ns:
        for name in new:
            name.unlink(missing_ok=True)
            write(name, b"x" * BLOCK)
    link(files, since)
    assert inode(new[0]) == inode(new[1]) != inode(old)
    assert old.stat().st_nlink == 1


@pytest.mark.parametrize("order", ["zam", "mza", "azm"])
def test_the_first_by_name_stays_whatever_the_order_of_the_folder(tmp_path: Path, order: str) -> None:
    for name in order:
        write(tmp_path / name / "file", b"x" * BLOCK)
    first = inode(tmp_path / "a/file")
    link(tmp_path)
    assert {inode(path) for path in tmp_path.glob("*/file")} == {first}
