"""What a rendered folder holds, and what it may replace."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devenv.build import context
from devenv.build.rendered_folder import Kind, RenderedFolder, render_folder
from devenv.errors import RenderError
from devenv.fetch.store import Store
from tests.unit.examples import loaded, lock, npm


def _folder(target: Path, kind: Kind, preset: Path = Path("/elsewhere/devenv.yaml")) -> RenderedFolder:
    return render_folder(dataclasses.replace(loaded(), path=preset), lock(npm=npm()), target, kind)


def _not_fetched() -> Store:
    raise AssertionError("fetched")


@pytest.mark.parametrize("kind", [Kind.FILES, Kind.ONLINE])
def test_what_was_written_has_no_differences_and_is_not_written_again(kind: Kind, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "out", kind)
    assert {path.relative_to(folder.target).as_posix() for path in folder.write(_not_fetched)} == {*folder.names}
    assert folder.differences() == ""
    assert folder.write(_not_fetched) == ()
    (folder.target / "Dockerfile").write_text("# devenv render\nFROM other\n")
    assert "FROM other" in folder.differences()


def test_an_online_folder_lies_in_a_folder_of_its_own_with_its_context(tmp_path: Path) -> None:
    plain, online = _folder(tmp_path, Kind.FILES), _folder(tmp_path, Kind.ONLINE)
    assert (plain.target, online.target) == (tmp_path, tmp_path / ".devcontainer")
    assert "online/SHA256SUMS" in online.names
    assert "compose.yaml" in plain.names


def test_artifacts_are_fetched_before_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acts: list[str] = []
    monkeypatch.setattr(context, "assemble", lambda *_, **__: acts.append("assemble"))
    folder = _folder(tmp_path / "out", Kind.WITH_ARTIFACTS)

    def fetch() -> Store:
        acts.append("fetch")
        return Store(tmp_path / "store")

    changed = folder.write(fetch)
    assert acts == ["fetch", "assemble"]
    assert changed == tuple(tmp_path / "out" / name for name in folder.names)


@pytest.mark.parametrize("kind", [Kind.WITH_ARTIFACTS, Kind.ONLINE])
def test_a_folder_of_the_users_is_refused_before_anything_is_fetched(kind: Kind, tmp_path: Path) -> None:
    folder = _folder(tmp_path, kind)
    folder.target.mkdir(exist_ok=True)
    (folder.target / "thesis.txt").write_text("years of work")
    with pytest.raises(RenderError, match="it is not empty"):
        folder.write(_not_fetched)
    own = dataclasses.replace(folder, loaded=dataclasses.replace(folder.loaded, path=folder.target / "devenv.yaml"))
    with pytest.raises(RenderError, match="it holds the preset"):
        own.write(_not_fetched)
    assert [one.name for one in folder.target.iterdir()] == ["thesis.txt"]
