"""Files of a layer's folder: nothing is followed, and only regular files are opened."""

from __future__ import annotations

import os
import socket
import stat
import tarfile
from pathlib import Path

import pytest

from devenv.doors.docker import own_files
from devenv.doors.docker.own_files import OwnFiles
from devenv.errors import EngineError


def _read(upper: Path, *paths: str) -> dict[str, tuple[tarfile.TarInfo, bytes | None]]:
    return {
        f"/{member.name}": (member, None if content is None else content.read(1 << 20))
        for member, content in OwnFiles(str(upper)).members(paths)
    }


def test_kinds_modes_and_contents(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d" / "a").write_bytes(b"text")
    (tmp_path / "d" / "a").chmod(0o4711)
    os.utime(tmp_path / "d" / "a", ns=(0, 7_999_999_999))
    (tmp_path / "d" / "l").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "d" / "p")
    os.link(tmp_path / "d" / "a", tmp_path / "z")
    found = _read(tmp_path, "/d", "/d/a", "/d/l", "/d/p", "/none", "/none/x", "/d/a/x", "/z")
    assert [*found] == ["/d", "/d/a", "/d/l", "/d/p", "/z"]
    a, content = found["/d/a"]
    assert (a.isreg(), a.mode, a.mtime, a.size, a.uid, content) == (True, 0o4711, 7, 4, os.getuid(), b"text")
    assert found["/d"][0].isdir()
    assert (found["/d/l"][0].linkname, found["/d/l"][1]) == ("/etc/passwd", None)
    assert found["/d/p"][0].isfifo()
    assert (found["/z"][0].islnk(), found["/z"][0].linkname, found["/z"][1]) == (True, "/d/a", None)


def test_no_folder_is_entered_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "secret").write_bytes(b"secret")
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "d").symlink_to(tmp_path / "host")
    (upper / "e").symlink_to("../host")
    assert [*_read(upper, "/d/secret", "/e/secret")] == []


def test_a_socket_is_left_out_as_the_engine_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        assert _read(tmp_path, "/s") == {}


def test_a_file_that_grows_is_as_long_as_at_first(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1234")
    members = OwnFiles(str(tmp_path)).members(["/a"])
    _, content = next(members)
    with (tmp_path / "a").open("ab") as file:
        file.write(b"5678")
    assert content
    assert (content.read(3), content.read(3), content.read(3)) == (b"123", b"4", b"")


def test_a_file_whose_content_lies_below_is_left_to_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"")
    monkeypatch.setattr(os, "listxattr", lambda _: ["trusted.overlay.metacopy"])
    assert _read(tmp_path, "/a") == {}


def test_capabilities_are_told_as_a_tar_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"")
    monkeypatch.setattr(os, "listxattr", lambda _: ["security.capability"])
    monkeypatch.setattr(os, "getxattr", lambda *_: b"\x01\xff")
    assert _read(tmp_path, "/a")["/a"][0].pax_headers == {"SCHILY.xattr.security.capability": "\x01\udcff"}


def test_a_disk_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"")

    def failing(*_: object) -> tarfile.TarInfo:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(own_files, "_described", failing)
    with pytest.raises(EngineError, match="Input/output error"):
        _read(tmp_path, "/a")


def test_odd_names(tmp_path: Path) -> None:
    name = os.fsdecode(b"new\nline\xff")
    (tmp_path / name).write_bytes(b"1")
    assert _read(tmp_path, f"/{name}")[f"/{name}"][1] == b"1"


def test_the_file_systems_mark_of_a_removed_path_is_no_file(tmp_path: Path) -> None:
    """Overlayfs has a character device 0/0 there, which any user may make."""
    os.mknod(tmp_path / "gone", stat.S_IFCHR, os.makedev(0, 0))
    assert _read(tmp_path, "/gone") == {}
