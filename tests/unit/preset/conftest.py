from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devenv.doors import dirs
from devenv.errors import PresetError
from devenv.preset.load import LoadedPreset, load

Write = Callable[[str, str], Path]

ROOT = """\
base: {bootstrap: debian/bookworm}
python: "3.11"
"""


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own folder of shipped presets, with `root` in it."""
    folder = tmp_path / "share" / "presets"
    (folder / "root").mkdir(parents=True)
    (folder / "root" / "preset.yaml").write_text(f"description: the root\n{ROOT}")
    monkeypatch.setattr(dirs, "presets_dir", lambda: folder)
    return folder


@pytest.fixture
def project(tmp_path: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my-project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def write(project: Path) -> Write:
    """Writes a file of the project; returns its path."""

    def one(name: str, text: str) -> Path:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return one


@pytest.fixture
def loads(write: Write) -> Callable[[str], LoadedPreset]:
    """Loads text as the project's devenv.yaml."""
    return lambda text: load(write("devenv.yaml", text))


@pytest.fixture
def mistakes(write: Write) -> Callable[[str], list[PresetError]]:
    """The mistakes of text as the project's devenv.yaml; it must have some."""

    def those(text: str) -> list[PresetError]:
        path = write("devenv.yaml", text)
        with pytest.raises(PresetError) as caught:
            load(path)
        assert caught.value.problems
        assert caught.value.exit_code == 3
        return list(caught.value.problems)

    return those
