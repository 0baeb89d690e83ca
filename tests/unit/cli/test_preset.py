"""The commands, through the command line's own entry."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from devenv.cli import run
from devenv.preset.load import load
from tests.unit.preset.conftest import ROOT, Write


@pytest.fixture
def rapidocr(shipped: Path) -> None:
    (shipped / "rapidocr").mkdir()
    (shipped / "rapidocr" / "preset.yaml").write_text(
        "extends: root\ndescription: reads text\npip: [rapidocr==3.4.0]\n"
    )


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("rapidocr")
def test_init(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "wrote devenv.yaml and .devenv/preset.schema.json" in err
    text = (project / "devenv.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=.devenv/preset.schema.json\n")
    json.loads((project / ".devenv" / "preset.schema.json").read_text())
    loaded = load(project / "devenv.yaml")
    assert (loaded.preset.name, loaded.preset.pip) == ("my-project", ("rapidocr==3.4.0",))
    assert sorted(path.name for path in project.iterdir()) == [".devenv", "devenv.yaml"]


def test_init_never_overwrites_unasked(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("devenv.yaml", "mine")
    assert run(["init", "root"]) == 3
    assert "devenv.yaml exists already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert run(["init", "root", "--force", "--json"]) == 0
    assert answer(capsys)["name"] == "my-project"
    assert load(path).preset.description == "the root"


def test_init_over_a_broken_link(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "devenv.yaml").symlink_to("gone")
    assert run(["init", "root"]) == 3
    assert (project / "devenv.yaml").is_symlink()
    assert run(["init", "root", "--force"]) == 0
    assert not (project / "devenv.yaml").is_symlink()
    assert not (project / "gone").exists()


def test_init_from_a_file(write: Write, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("envs/my base.yaml", ROOT)
    assert run(["init", "envs/my base.yaml"]) == 0
    assert 'extends: "./envs/my base.yaml"' in (project / "devenv.yaml").read_text()
    load(project / "devenv.yaml")


@pytest.mark.parametrize("argument", ["rooot", "../outside.yaml", "bad.yaml", "a\0b"])
def test_init_from_what_cannot_be(
    write: Write, project: Path, argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.parent / "outside.yaml").write_text(ROOT)
    write("bad.yaml", "x: y")
    assert run(["init", argument]) == 3
    assert "error: " in capsys.readouterr().err
    assert not (project / "devenv.yaml").exists()


def test_init_where_nothing_can_be_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    assert run(["init", "root"]) == 3
    assert "no space left on device" in capsys.readouterr().err
    assert not list(project.glob(".devenv-*"))


@pytest.mark.usefixtures("rapidocr")
def test_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["NAME", "EXTENDS", "WHAT", "IT", "IS"],
        ["rapidocr", "root", "reads", "text"],
    ]
    assert run(["presets", "--json"]) == 0
    assert [(one["name"], one["extends"]) for one in answer(capsys)["presets"]] == [
        ("rapidocr", "root"),
        ("root", None),
    ]


def test_show(write: Write, shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        "devenv.yaml",
        f'extends: root\n\npip:\n  - "x>=1"\nservices: {{web: {{command: [a, "b c"]}}}}\ndescription: {"long " * 40}\n',
    )
    assert run(["show"]) == 0
    out = capsys.readouterr().out
    lines = [line.split("  #") for line in out.splitlines() if "#" in line]
    found = {left.strip(): right.strip() for left, right in lines}
    assert found["name: my-project"] == "from the file's place"
    assert found["bootstrap: debian/bookworm"] == f"{shipped}/root/preset.yaml:2"
    assert found["- x>=1"] == "devenv.yaml:4"
    assert found["command: [a, b c]"] == "devenv.yaml:5"
    assert found["auth: token"] == found["shm_size: 2g"] == "default"
    # What is shown is YAML that means the same.
    write("again.yaml", out)
    assert run(["show", "again.yaml", "--json"]) == 0
    again = answer(capsys)
    assert run(["show", "--json"]) == 0
    document = answer(capsys)
    assert document["preset"] == again["preset"]
    assert document["origins"]["/pip/0"] == {"file": str(Path.cwd() / "devenv.yaml"), "line": 4, "column": 5}
    assert document["extends"] == "root"


def test_validate(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("devenv.yaml", "extends: root\n")
    write("one.yaml", "extends: root\nrevison: 1\nenv: {PATH: x}\n")
    write("two.yaml", "a: [")
    assert run(["validate"]) == 0
    assert capsys.readouterr().err == "devenv.yaml: valid\n"
    assert run(["validate", "one.yaml", "devenv.yaml", "two.yaml", "gone.yaml"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    for piece in (
        "one.yaml:2:1: unknown key 'revison'\n  2 | revison: 1\n    | ^\n",
        "one.yaml:3:7: ",
        "two.yaml:1:4: ",
        "'gone.yaml'",
    ):
        assert piece in err
    assert run(["validate", "one.yaml", "devenv.yaml", "--json"]) == 3
    document = answer(capsys)
    assert document["valid"] is False
    assert [(one["path"], one["valid"], len(one["problems"])) for one in document["files"]] == [
        ("one.yaml", False, 2), ("devenv.yaml", True, 0),
    ]  # fmt: skip
    assert document["files"][0]["problems"][0]["where"] == "one.yaml:2:1"


def test_schema(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    assert run(["schema"]) == 0
    assert answer(capsys)["title"] == "devenv preset"


def test_init_writes_nothing_through_a_link(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project.parent / "outside").mkdir()
    (project / ".devenv").symlink_to("../outside")
    assert run(["init", "root"]) == 3
    assert "leads out of" in " ".join(capsys.readouterr().err.split())
    assert list((project.parent / "outside").iterdir()) == []
