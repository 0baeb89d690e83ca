from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from devenv.doors.untar import unpack
from devenv.errors import UsageError


def _tar(*members: tuple[str, str, bytes | str, int]) -> io.BytesIO:
    """(kind, name, content or target, mode)"""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for kind, name, content, mode in members:
            member = tarfile.TarInfo(name)
            member.mode = mode
            if kind == "file":
                assert isinstance(content, bytes)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
                continue
            member.type = {"folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE,
                           "pipe": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE}[kind]  # fmt: skip
            member.linkname = str(content)
            archive.addfile(member)
    stream.seek(0)
    return stream


def test_a_folder_comes_out_under_the_name_that_was_asked_for(tmp_path: Path) -> None:
    archive = _tar(
        ("folder", "workspace", "", 0o777), ("file", "workspace/run", b"#!", 0o4777), ("file", "workspace/a/b", b"b", 0),
    )  # fmt: skip
    unpack(archive, tmp_path / "here", source="x")
    assert (tmp_path / "here/run").read_bytes() == b"#!"
    assert (tmp_path / "here/run").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "here/a/b").stat().st_mode & 0o7777 == 0o644


def test_a_file_comes_out_by_itself(tmp_path: Path) -> None:
    unpack(_tar(("file", "check.py", b"x", 0o644)), tmp_path / "0", source="x")
    assert (tmp_path / "0").read_bytes() == b"x"


@pytest.mark.parametrize(
    "members",
    [
        [("link", "w/l", "/etc/passwd", 0o777)],
        [("link", "w/l", "..", 0o777), ("file", "w/l/x", b"x", 0o644)],
        [("hard", "w/l", "/etc/passwd", 0o777)],
        [("pipe", "w/p", "", 0o644)],
        [("device", "w/d", "", 0o644)],
        [("file", "w/../../x", b"x", 0o644)],
        [("file", "/etc/x", b"x", 0o644)],
        [("file", "..", b"x", 0o644)],
    ],
)
def test_everything_else_is_refused(tmp_path: Path, members: list[tuple[str, str, bytes | str, int]]) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        unpack(_tar(("folder", "w", "", 0o755), *members), tmp_path / "in/here", source="the image x")
    assert sorted(path.name for path in tmp_path.rglob("*")) in (["here", "in"], ["in"])
