"""What the command lines of `export` and `import` refuse before any work, and what counts as an export."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.cli import export, references, run
from devenv.errors import UsageError
from devenv.share.export import Exported
from devenv.share.layout import InLayout
from devenv.share.place import InRegistry


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1M", 1 << 20),
        ("700M", 700 << 20),
        ("4G", 4 << 30),
        ("4gib", 4 << 30),
        ("2048K", 2 << 20),
        ("5000000", 5_000_000),
    ],
)
def test_sizes_of_parts(text: str, size: int) -> None:
    assert export._size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0M", "1", "512K", "-1G", "1.5G", "G", "4T", "4 G"])
def test_what_is_no_size_of_parts(text: str) -> None:
    with pytest.raises(UsageError, match="not a size of parts"):
        export._size(text)


def test_mistakes_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.tar").mkdir()
    for words, said in (
        (("export", "x", "-o", f"{tmp_path}/new", "--split", "4G"), "only a tar is written in parts"),
        (("export", "x", "-o", f"{tmp_path}/new.tar", "--split", "much"), "not a size of parts"),
        (("export", "x", "-o", f"{tmp_path}/file"), "is a file"),
        (("export", "x", "-o", f"{tmp_path}/folder.tar"), "is a folder"),
        (("export", "x"), "Missing option '-o'"),
        (("import",), "Missing argument"),
        (("import", f"{tmp_path}/nothing.tar"), "does not exist"),
    ):
        assert run(list(words)) == 2
        assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".local") == ["file", "folder.tar"]
    assert (tmp_path / "file").read_text() == "mine"


def test_an_export_is_known_by_its_marker_or_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.tar").touch()
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout/oci-layout").touch()
    (tmp_path / "project").mkdir()
    (tmp_path / "project/devenv.yaml").touch()
    for name in ("shop.tar", "./shop.tar", str(tmp_path / "shop.tar"), "layout", "./layout"):
        assert references.may_be_reference(name)
        assert references.place(name) == InLayout(path=Path(name))
    for name in (None, "project", "./project", "project/devenv.yaml", "other.tar", "python"):
        assert not references.may_be_reference(name)
    assert isinstance(references.place("registry.example/shop:1"), InRegistry)


@pytest.mark.parametrize(
    ("have", "left_out", "words"),
    [(None, 0, "x.tar"), ("old.tar", 5, "x.tar --with old.tar"), ("old.tar", 0, "x.tar"), ("devenv.lock", 5, "x.tar")],
)
def test_what_to_run_there_names_the_earlier_export(
    have: str | None, left_out: int, words: str, tmp_path: Path
) -> None:
    notes: list[str] = []
    app: Any = SimpleNamespace(console=SimpleNamespace(note=notes.append, data=notes.append))
    done = Exported(path="/d/x.tar", parts=(), digest="d", identity="i", size=9, left_out=left_out, files=0)
    if have:
        (tmp_path / have).touch()
    export._tell_export(app, done, tmp_path / have if have else None)
    assert f"on the other machine: devenv import {words}" in notes
