"""A project's files in, a devenv.yaml out. The shipped presets are devenv's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from devenv.adopt.adopt import Adopted, adopt
from devenv.adopt.facts.facts import Facts, Kind, Reading
from devenv.adopt.facts.project import Project
from devenv.compat.matrix import read
from devenv.doors.settings.settings import Settings
from devenv.errors import PresetError
from devenv.preset import scaffold
from devenv.preset.load import LoadedPreset, load
from devenv.preset.yaml.problems import Problems
from tests.unit.handmade import settings as plain_settings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of a project."""

    adopted: Adopted
    loaded: LoadedPreset

    @property
    def pip(self) -> tuple[str, ...]:
        """The requirements of the new preset's own entries, those of files that it follows among them."""
        own = self.loaded.path.parent
        marks = {at[1]: mark for at, mark in self.loaded.origins.items() if len(at) == 2 and at[0] == "pip"}
        return tuple(
            text for number, text in enumerate(self.loaded.preset.pip) if marks[number].path.is_relative_to(own)
        )

    @property
    def entries(self) -> tuple[str, ...]:
        """As they are written."""
        return tuple(
            f"{entry.name}: {entry.value}" if entry.name else entry.value for entry in self.adopted.choice.lists["pip"]
        )

    @property
    def left(self) -> tuple[str, ...]:
        return tuple(loss.what for loss in self.adopted.choice.left)

    @property
    def changed(self) -> tuple[str, ...]:
        return tuple(change.asked for change in self.adopted.choice.changes)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a machine whose apt knows Debian's releases and one of Ubuntu's."""
    own = plain_settings(tmp_path)
    return dataclasses.replace(
        own, apt_mirrors=(("debian", "http://mirror/debian"), ("ubuntu", "http://mirror/ubuntu"))
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


Files = dict[str, str]


@pytest.fixture
def tree(project: Path) -> Callable[[Files], Path]:
    """Writes a project's files."""

    def write(files: Files) -> Path:
        for name, text in files.items():
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return project

    return write


@pytest.fixture
def make(tree: Callable[[Files], Path], settings: Settings) -> Callable[..., Made]:
    """Makes a devenv.yaml of files, and loads it."""

    def one(files: Files, source: str = ".") -> Made:
        folder = tree(files)
        adopted = adopt(folder / source, folder, settings=settings, matrix=read())
        written = scaffold.write_text(folder, adopted.text, force=True)
        return Made(adopted=adopted, loaded=load(written[0]))

    return one


@pytest.fixture
def mistakes(tree: Callable[[Files], Path], settings: Settings) -> Callable[..., list[PresetError]]:
    """The mistakes of files that cannot become a devenv.yaml."""

    def those(files: Files, source: str = ".") -> list[PresetError]:
        folder = tree(files)
        with pytest.raises(PresetError) as raised:
            adopt(folder / source, folder, settings=settings, matrix=read())
        assert not (folder / "devenv.yaml").exists()
        return list(raised.value.problems or (raised.value,))

    return those


Read = Callable[..., Facts]


@pytest.fixture
def facts(tree: Callable[[Files], Path]) -> Read:
    """What a reader states about the first of some files. It has no mistake."""

    def those(reader: Callable[..., None], files: Files, **options: bool) -> Facts:
        folder = tree(files)
        path = folder / next(iter(files))
        problems = Problems(path)
        reading = Reading(Project(folder), problems)
        document = reading.project.document(path, problems)
        assert document is not None
        reader(document, reading, **options)
        problems.check()
        return reading.facts()

    return those


def values(facts: Facts, kind: Kind) -> list[str]:
    return [fact.value for fact in facts.of(kind)]
