"""`devenv init` of a project's own files, through the command line's own entry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devenv.cli import run
from devenv.preset.load import load


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_files_are_found_by_themselves(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "requirements.txt").write_text("rich==13.9.4\ngit+https://github.com/a/b\n")
    assert run(["init"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "read requirements.txt" in said
    assert "taken: 1 Python package" in said
    assert (
        "left out: git+https://github.com/a/b (requirements.txt:2:1): a repository's address without the name of"
        in said
    )
    assert "wrote devenv.yaml and .devenv/preset.schema.json; start it with 'devenv up'" in said
    assert "rich==13.9.4" in load(here / "devenv.yaml").preset.pip
    assert sorted(path.name for path in here.iterdir()) == [".devenv", "devenv.yaml", "requirements.txt"]


def test_a_preset_that_is_named_wins(here: Path) -> None:
    (here / "requirements.txt").write_text("rich==13.9.4\n")
    assert run(["init", "python"]) == 0
    assert "rich==13.9.4" not in load(here / "devenv.yaml").preset.pip


def test_the_document(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "deps.txt").write_text("rich\nsklearn\n./own\n")
    assert run(["init", "--from", "deps.txt", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    place = {"file": str(here / "deps.txt"), "line": 2, "column": 1}
    assert (document["name"], document["extends"], document["read"]) == ("scans", "python", [str(here / "deps.txt")])
    assert document["taken"]["pip"][0] == {"name": "", "value": "rich", "from": "deps.txt:1:1"}
    assert [(one["asked"], one["written"], one["where"]) for one in document["changed"]] == [
        ("sklearn", "scikit-learn", place)
    ]
    assert [(one["what"], one["where"]["line"]) for one in document["left_out"]] == [("./own", 3)]
    assert document["left_out"][0]["remedy"]


def test_mistakes_write_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "requirements.txt").write_text("a b\n-r gone.txt\n")
    assert run(["init", "--from", "."]) == 3
    said = capsys.readouterr().err
    assert "requirements.txt:1:1" in said
    assert "requirements.txt:2:1" in said
    assert [path.name for path in here.iterdir()] == ["requirements.txt"]


def test_what_is_there_is_not_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "requirements.txt").write_text("rich\n")
    (here / "devenv.yaml").write_text("mine")
    for words in (["init"], ["init", "--from", "requirements.txt"]):
        assert run(words) == 3
        assert "devenv.yaml exists already" in capsys.readouterr().err
    assert (here / "devenv.yaml").read_text() == "mine"
    assert run(["init", "--force"]) == 0
    assert load(here / "devenv.yaml").preset.name == "scans"


@pytest.mark.parametrize(
    ("words", "status"), [(["python", "--from", "."], 2), (["--from", "gone.txt"], 2), (["--from", "x.md"], 2)]
)
def test_usage(here: Path, words: list[str], status: int) -> None:
    (here / "x.md").write_text("x")
    assert run(["init", *words]) == status
    assert not (here / "devenv.yaml").exists()


def test_another_base_for_a_preset(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "python", "--base", "alpine:3.22"]) == 2
    assert "neither Debian nor Ubuntu" in capsys.readouterr().err
    assert list(here.iterdir()) == []
    assert run(["init", "python", "--base", "ubuntu:24.04"]) == 0
    preset = load(here / "devenv.yaml").preset
    assert (preset.base.image, preset.python) == ("ubuntu:24.04", "3.12")


@pytest.mark.parametrize(("arguments", "words"), [
    (["python", "--from", "."], "PRESET and --from exclude each other"),
    (["--model", "a/b", "--from", "."], "--model and --from exclude each other"),
    (["--base", "debian:bookworm", "--from", "."], "--base and --from exclude each other"),
    (["--source", "modelscope"], "--source goes with --model"), (["--trust-remote-code"], "--trust-remote-code goes with"),
])  # fmt: skip
def test_options_that_exclude_or_need_each_other(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(["init", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert list(here.iterdir()) == []
