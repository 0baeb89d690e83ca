"""Files that are not what a preset is: one clear error each, and never a hang."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from devenv.errors import PresetError
from devenv.preset import host_paths
from devenv.preset.load import load


def reason(path: Path) -> PresetError:
    with pytest.raises(PresetError) as caught:
        load(path)
    (only,) = caught.value.problems
    assert (caught.value.message, caught.value.where) == (only.message, only.where)
    return only


def test_missing(project: Path) -> None:
    error = reason(project / "none.yaml")
    assert (error.where, error.message) == ("none.yaml", "cannot read the preset: the file does not exist")


@pytest.mark.timeout(10)
def test_pipe_device_socket_folder(project: Path) -> None:
    os.mkfifo(project / "pipe.yaml")
    (project / "folder.yaml").mkdir()
    assert reason(project / "pipe.yaml").message == "it is a pipe, not a file"
    assert reason(Path("/dev/zero")).message == "it is a device, not a file"
    assert reason(project / "folder.yaml").message == "it is a folder, not a file"


def test_link_loop(project: Path) -> None:
    (project / "a.yaml").symlink_to("b.yaml")
    (project / "b.yaml").symlink_to("a.yaml")
    assert reason(project / "a.yaml").message == "cannot read the preset: too many levels of symbolic links"


def test_part_of_the_path_is_a_file(project: Path) -> None:
    (project / "file").touch()
    assert "not a folder" in reason(project / "file" / "devenv.yaml").message


def test_name_with_nul_and_name_too_long(project: Path) -> None:
    assert reason(project / "a\0b").message == "a path cannot contain a NUL byte"
    assert reason(project / ("x" * 300)).message == "cannot read the preset: file name too long"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(project: Path) -> None:
    path = project / "devenv.yaml"
    path.write_text("name: x\n")
    path.chmod(0)
    assert reason(path).message == "cannot read the preset: no permission to read it"


def test_permission_error_in_words(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project / "devenv.yaml"
    path.write_text("name: x\n")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert reason(path).message == "cannot read the preset: no permission to read it"


@pytest.mark.parametrize(
    ("data", "where", "message"),
    [
        (b"a: 1\nb: \0\n", "devenv.yaml:2:4", "a NUL byte cannot be in a preset"),
        (b"a: 1\nb: x\x1b[31m\n", "devenv.yaml:2:5", "the control character U+001B cannot be in a preset"),
        ("ü: 1\nbä: ".encode() + b"\xff\n", "devenv.yaml:2:5", "not UTF-8 text"),
        (b"\xff\xfea\x00:\x00", "devenv.yaml:1:1", "not UTF-8 text"),
        (b"a: \xed\xa0\x80", "devenv.yaml:1:4", "not UTF-8 text"),
        (b"x: " + b"y" * (10 * 1024 * 1024), "devenv.yaml", "larger than 1 MiB, which no preset is"),
    ],
)
def test_bytes_that_are_no_preset(project: Path, data: bytes, where: str, message: str) -> None:
    path = project / "devenv.yaml"
    path.write_bytes(data)
    error = reason(path)
    assert (error.where, error.message) == (where, message)
    assert error.hint


def test_line_ends_of_other_systems_and_a_byte_order_mark(project: Path) -> None:
    path = project / "devenv.yaml"
    path.write_bytes(b'\xef\xbb\xbfextends: root\r\nrevison: "x"\r\n')
    error = reason(path)
    assert (error.where, error.detail) == ("devenv.yaml:2:1", '2 | revison: "x"\n  | ^')


def test_a_devenv_yaml_lies_in_its_project(project: Path) -> None:
    (project.parent / "outside.yaml").write_text("extends: root\n")
    (project / "devenv.yaml").symlink_to("../outside.yaml")
    error = reason(project / "devenv.yaml")
    assert "a link that leads out of" in error.message
    assert error.hint == "replace the link with a copy of its target"


def test_a_preset_that_the_user_names_may_be_a_link(project: Path) -> None:
    (project.parent / "outside.yaml").write_text("extends: root\n")
    (project / "named.yaml").symlink_to("../outside.yaml")
    assert load(project / "named.yaml").preset.name == "named"
    (project / "inner.yaml").write_text("extends: root\n")
    (project / "devenv.yaml").symlink_to("inner.yaml")
    linked = project.parent / "linked"
    linked.symlink_to(project)
    assert load(linked / "devenv.yaml").project == linked


def test_a_file_that_became_a_link_after_the_look(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.parent / "outside.yaml").write_text("name: stolen\n")
    (project / "base.yaml").write_text("extends: root\n")
    (project / "devenv.yaml").write_text("extends: ./base.yaml\n")

    def swap(*arguments: Any) -> Path | None:
        found = locate(*arguments)
        (project / "base.yaml").unlink()
        (project / "base.yaml").symlink_to("../outside.yaml")
        return found

    locate = host_paths.locate
    monkeypatch.setattr(host_paths, "locate", swap)
    assert "leads out of" in reason(project / "devenv.yaml").message
