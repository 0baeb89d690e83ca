from __future__ import annotations

from pathlib import Path

import pytest

from devenv import cli
from devenv.cli.references import may_be_reference, place
from devenv.errors import UsageError
from devenv.share.layout import InLayout


@pytest.mark.parametrize(
    "name",
    ["example.org/x:1", "localhost/x", "127.0.0.1:5000/team/x@sha256:0", "[::1]:5000/x", "host:5000/x", "a.b/c.yaml"],
)
def test_what_begins_with_a_host_may_be_meant_as_a_reference(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert may_be_reference(name)
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    assert not may_be_reference(f"./{name}"), "a file of that name is meant"


@pytest.mark.parametrize("name", ["localhost/x", "a.b/c.yaml", "127.0.0.1:5000/team/x@sha256:0", "[::1]:5000/x"])
def test_what_no_image_can_be_called_is_the_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    assert not may_be_reference(name)


@pytest.mark.parametrize("name", ["example.org/x:1", f"127.0.0.1:5000/x@sha256:{'0' * 64}", "localhost/team/x:1"])
@pytest.mark.parametrize("file", ["oci-layout", "devenv.yaml"])
def test_a_projects_file_never_stands_for_an_image(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be used without the signature that the image needs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(parents=True)
    (tmp_path / name / file).touch()
    for wanted in (may_be_reference, place):
        with pytest.raises(UsageError, match="a file here has it too"):
            wanted(name)
    assert place(f"./{name}") == InLayout(path=Path(name))


@pytest.mark.parametrize(
    "name",
    [None, "", "python", "t-x", "devenv.yaml", "a.b", "presets/x.yaml", "team/image:1", "./a.b/x", "../x/y", "/a.b/c",
     "~/a.b", "a" * 5000 + "/x", "a\0/x"],
)  # fmt: skip
def test_all_other_names_are_not(name: str | None) -> None:
    assert not may_be_reference(name)


def test_a_path_that_is_mistyped_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert cli.run(["up", "presets/mine.yaml"]) == 3
    assert "the file 'presets/mine.yaml' does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["shop.tar.001", "shop.tar.1000", "shop.tar.parts.json"])
def test_a_part_of_an_export_is_no_preset(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match="a part of an export") as caught:
        may_be_reference(str(tmp_path / name))
    assert caught.value.hint == f"bring all parts here first: devenv import {tmp_path / name}"
