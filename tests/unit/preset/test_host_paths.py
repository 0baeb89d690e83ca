"""Values that name files on this machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from devenv.errors import PresetError
from devenv.fetch.sources import archives
from devenv.lock import drift
from devenv.preset.load import LoadedPreset, dump, load
from devenv.preset.own_wheel import own_wheel
from tests.unit.preset.conftest import ROOT, Write

Loads = Callable[[str], LoadedPreset]
Mistakes = Callable[[str], list[PresetError]]
HASH = "0" * 64


def test_relative_to_the_file_that_declares_them(write: Write, project: Path, shipped: Path) -> None:
    (shipped / "root" / "tool.py").write_text("")
    (shipped / "root" / "preset.yaml").write_text(f"{ROOT}files: {{/opt/tool.py: tool.py}}\n")
    write("sub/data/x", "")
    write("sub/parent.yaml", "extends: root\nfiles: {/opt/data: data}\nworkspace: ./data\n")
    write("here.txt", "")
    preset = load(write("devenv.yaml", "extends: sub/parent.yaml\nfiles: {/opt/here: here.txt}\n")).preset
    assert preset.files == {
        "/opt/tool.py": str(shipped / "root" / "tool.py"),
        "/opt/data": str(project / "sub" / "data"),
        "/opt/here": str(project / "here.txt"),
    }
    assert preset.workspace == str(project / "sub" / "data")


def test_archives(write: Write, loads: Loads, project: Path) -> None:
    write("cs.tar.gz", "")
    preset = loads(
        "extends: root\n"
        f"code_server: {{version: 4.1.2, source: release, archive: {{path: cs.tar.gz, sha256: '{HASH}'}}}}\n"
        f"extensions: [{{id: a.b, version: 1.2.3, archive: {{path: ./cs.tar.gz, sha256: '{HASH}'}}}}]\n"
    ).preset
    assert preset.code_server is not None
    assert preset.code_server.archive is not None
    assert preset.code_server.archive.path == preset.extensions[0].archive.path == str(project / "cs.tar.gz")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone", "'gone' does not exist"),
        ("../outside", "'../outside' lies outside the preset's folder"),
        ("../gone", "'../gone' lies outside the preset's folder"),
        ("/etc/passwd", "'/etc/passwd' lies outside the preset's folder"),
        ("sub/../../outside", "'sub/../../outside' lies outside the preset's folder"),
        ("link", "'link' lies outside the preset's folder"),
        ("folder-link/passwd", "'folder-link/passwd' lies outside the preset's folder"),
        ("loop", "'loop' cannot be used: "),
        ("pipe", "'pipe' is not a file or folder"),
        ("~/x", "'~/x': '~' is not expanded in a preset"),
        ("x" * 300, "cannot be used: file name too long"),
        ("''", "'files./opt/x' is empty"),
    ],
)
def test_paths_that_are_refused(project: Path, mistakes: Mistakes, path: str, message: str) -> None:
    (project.parent / "outside").touch()
    (project / "sub").mkdir()
    (project / "link").symlink_to("../outside")
    (project / "folder-link").symlink_to("/etc")
    (project / "loop").symlink_to("loop")
    os.mkfifo(project / "pipe")
    (only,) = mistakes(f"extends: root\nfiles:\n  /opt/x: {path}\n")
    assert message in only.message
    assert only.where == "devenv.yaml:3:11"


def test_links_inside_are_followed(project: Path, write: Write, loads: Loads) -> None:
    write("real/file", "")
    (project / "link").symlink_to("real")
    assert loads("extends: root\nfiles: {/opt/x: link/file}\n").preset.files == {
        "/opt/x": str(project / "real" / "file")
    }


def test_a_project_that_is_reached_through_a_link(project: Path, write: Write) -> None:
    write("file", "")
    write("devenv.yaml", "extends: root\nfiles: {/opt/x: file}\n")
    link = project.parent / "by-link"
    link.symlink_to(project)
    loaded = load(link / "devenv.yaml")
    assert loaded.project == link
    assert loaded.preset.name == "by-link"
    assert loaded.preset.files == {"/opt/x": str(project / "file")}


def test_kinds(write: Write, mistakes: Mistakes) -> None:
    write("file", "")
    write("folder/x", "")
    found = mistakes(
        "extends: root\nworkspace: file\n"
        f"extensions: [{{id: a.b, version: 1.2.3, archive: {{path: folder, sha256: '{HASH}'}}}}]\n"
    )
    assert [one.message for one in found] == ["'file' is not a folder", "'folder' is not a file"]


def test_the_wrong_type_is_the_only_thing_said(mistakes: Mistakes) -> None:
    found = mistakes(
        "extends: root\nfiles: [a]\nworkspace: 3\ncode_server: {version: 1.2.3, archive: x}\nextensions: {a: b}\n"
    )
    assert [one.message for one in found] == [
        "'files' takes a mapping, not a list",
        "'workspace' takes text, not the number 3",
        "'code_server' from npm needs 'node'",
        "'code_server.archive' takes a mapping, not 'x'",
        "'extensions' takes a list, not a mapping",
    ]


WHEEL = "acme-1.2-py3-none-any.whl"


def test_a_wheel_is_a_reference_with_its_hash_and_overrides_what_is_inherited(
    write: Write, project: Path, shipped: Path
) -> None:
    (shipped / "root" / "preset.yaml").write_text(f"{ROOT}pip: [acme==1.0, rich]\n")
    write(f"a b/{WHEEL}", "bytes")
    loaded = load(write("devenv.yaml", f"extends: root\npip: ['a b/{WHEEL}']\n"))
    sha256 = hashlib.sha256(b"bytes").hexdigest()
    assert loaded.preset.pip == (f"acme @ {project.as_uri()}/a%20b/{WHEEL}#sha256={sha256}", "rich")
    (own, other) = map(own_wheel, loaded.preset.pip)
    assert own is not None
    assert (own.path, own.name, own.version, own.sha256) == (project / "a b" / WHEEL, "acme", "1.2", sha256)
    assert other is None
    assert load(write("devenv.yaml", dump(loaded.preset))).preset == loaded.preset, "a dump loads again"
    assert drift.inputs(loaded.preset)["pip"] == [f"acme==1.2 sha256 {sha256}", "rich"]
    (archive,) = archives(loaded.preset).values()
    assert (archive.path, archive.sha256) == (str(project / "a b" / WHEEL), sha256)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("gone-1-py3-none-any.whl", "'gone-1-py3-none-any.whl' does not exist"),
        (f"../{WHEEL}", f"'../{WHEEL}' lies outside the preset's folder"),
        (f"/etc/{WHEEL}", f"'/etc/{WHEEL}' lies outside the preset's folder"),
        (f"acme @ file:///etc/{WHEEL}", f"'/etc/{WHEEL}' lies outside the preset's folder"),
        (f"acme@file:///etc/{WHEEL}#sha256={HASH}", f"'/etc/{WHEEL}' lies outside the preset's folder"),
        (f"acme @ file:/etc/{WHEEL}", f"'/etc/{WHEEL}' lies outside the preset's folder"),
        (f"acme @ FILE:///etc/{WHEEL}#sha256={HASH}", "cannot be locked"),
        (f"acme @ https://h/{WHEEL}", "cannot be locked"),
        ("folder.whl", "'folder.whl' is not a file"),
        ("acme.whl", "'acme.whl' cannot be used: a wheel is called NAME-VERSION-PYTHON-ABI-PLATFORM.whl"),
        ("acme-1.2-py3-none-a ny.whl", "'acme-1.2-py3-none-a ny.whl' cannot be used: a wheel is called"),
    ],
)
def test_wheels_that_cannot_be_used(write: Write, project: Path, mistakes: Mistakes, entry: str, message: str) -> None:
    (project / "folder.whl").mkdir()
    for name in ("acme.whl", "acme-1.2-py3-none-a ny.whl"):
        write(name, "x")
    (only,) = mistakes(f"extends: root\npip: ['{entry}']\n")
    assert message in only.message
    assert only.where == "devenv.yaml:2:7"


def test_a_wheel_and_an_entry_for_the_same_package_are_one_too_many(write: Write, mistakes: Mistakes) -> None:
    write(WHEEL, "x")
    (only,) = mistakes(f"extends: root\npip: [{WHEEL}, acme>=1]\n")
    assert only.message == "'acme' is given twice in 'pip'"
