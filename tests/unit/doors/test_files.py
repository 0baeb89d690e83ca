"""Files that are no plain, small file of their folder: refused at once, never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.doors import files
from devenv.doors.files import RefusedError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return folder


def test_what_is_no_file_is_named(project: Path) -> None:
    os.mkfifo(project / "pipe")
    for name, kind in (("pipe", "a pipe"), ("sub", "a folder")):
        with pytest.raises(RefusedError) as caught:
            files.read(project / name, most_bytes=10)
        assert files.reason(caught.value) == f"it is {kind}, not a file"
        assert files.hint(caught.value)
    with pytest.raises(RefusedError, match="it is a device"):
        files.read(Path("/dev/zero"), most_bytes=10)


def test_a_device_is_not_even_opened(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = []
    real = os.open

    def noted(path: str, given: int, *rest: int, **more: int) -> int:
        flags.append(given)
        return real(path, given, *rest, **more)

    monkeypatch.setattr(os, "open", noted)
    with pytest.raises(RefusedError):
        files.opened(Path("/dev/zero"))
    assert all(one & os.O_PATH for one in flags)


def test_links_lead_anywhere_inside_and_nowhere_else(project: Path) -> None:
    (project / "sub" / "real").write_text("inside")
    (project / "link").symlink_to("sub/real")
    (project / "absolute").symlink_to(project / "sub" / "real")
    (project / "out").symlink_to("../outside/secret")
    (project / "folder").symlink_to("../outside")
    for name in ("link", "absolute"):
        assert files.read_text(project / name, inside=project) == "inside"
    for name in ("out", "folder/secret"):
        with pytest.raises(RefusedError, match="a link that leads out of"):
            files.read_text(project / name, inside=project)
        assert files.read_text(project / name) == "secret"


def test_a_project_that_is_reached_through_a_link_is_where_it_lies(project: Path) -> None:
    (project / "file").write_text("inside")
    linked = project.parent / "linked"
    linked.symlink_to(project)
    assert files.read_text(linked / "file", inside=linked) == "inside"


def test_one_folder_has_many_paths(project: Path) -> None:
    linked = project.parent / "linked"
    linked.symlink_to(project)
    assert files.is_same(str(project), linked)
    assert files.is_same(str(linked), project)
    assert not files.is_same(str(project), project.parent)
    assert files.is_same("/gone/by/now", Path("/gone/by/now"))
    assert not files.is_same("/gone/by/now", project)


def test_what_was_looked_at_is_what_is_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that is changed after the look leads nowhere else."""
    path = project / "file"
    path.write_text("inside")
    real = os.fstat

    def swap(descriptor: int) -> os.stat_result:
        path.unlink(missing_ok=True)
        path.symlink_to("../outside/secret")
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", swap)
    with files.opened(path, inside=project) as file:
        assert file.read() == b"inside"


def test_larger_than_its_limit(project: Path) -> None:
    (project / "file").write_bytes(b"x" * 2048)
    assert len(files.read(project / "file", most_bytes=2048)) == 2048
    with pytest.raises(RefusedError, match="larger than 1 KiB"):
        files.read(project / "file", most_bytes=1024)


def test_another_encoding(project: Path) -> None:
    (project / "file").write_bytes(b"\xff\xfe")
    with pytest.raises(RefusedError, match="not UTF-8"):
        files.read_text(project / "file")


def test_a_file_is_written_below_its_folder_whole(project: Path) -> None:
    files.write_below(project / "new", "a/b/file", b"one")
    files.write_below(project / "new", "a/b/file", b"two")
    assert (project / "new/a/b/file").read_bytes() == b"two"
    assert [one.name for one in (project / "new/a/b").iterdir()] == ["file"]


def test_nothing_is_written_through_a_link_that_leads_out(project: Path) -> None:
    (project / "folder").symlink_to("../outside")
    (project / "inner").symlink_to("sub")
    with pytest.raises(RefusedError, match="leads out of"):
        files.write_below(project, "folder/secret", b"changed")
    with pytest.raises(RefusedError, match="leads out of"):
        files.write_below(project, "folder/made/secret", b"changed")
    assert [one.name for one in (project.parent / "outside").iterdir()] == ["secret"]
    files.write_below(project, "inner/file", b"inside")
    assert (project / "sub/file").read_bytes() == b"inside"


def test_a_link_in_a_files_place_is_replaced_and_not_followed(project: Path) -> None:
    (project / "file").symlink_to("../outside/secret")
    (project / f".file.{os.getpid()}").symlink_to("../outside/secret")
    files.write_below(project, "file", b"new")
    assert (project / "file").read_bytes() == b"new"
    assert not (project / "file").is_symlink()
    assert (project.parent / "outside" / "secret").read_text() == "secret"
