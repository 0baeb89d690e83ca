"""The exact rendered output of every shipped preset. After a change that is meant: `make golden`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from devenv.lock.model import read
from devenv.lock.place import beside
from devenv.plan import plan
from devenv.preset.load import find, load, shipped
from devenv.render import render

HERE = Path(__file__).parent
LEFT_OUT = ("artifacts/", "build/", "image/usr/", "image/etc/profile.d/", "image/etc/devenv/sbom.cdx.json")
"""Lists that follow the lock, and files that are copied from templates/ as they are."""


def _rendered(preset: str) -> dict[str, str]:
    loaded = load(find(preset, Path.cwd()))
    rendered = render(plan(loaded, read(beside(loaded.path))))
    files = {**rendered.context, **rendered.files}
    return {
        name: data.decode()
        for name, data in sorted(files.items())
        if not name.startswith(LEFT_OUT) and not name.endswith("devenv.lock")
    }


@pytest.mark.parametrize("preset", shipped())
def test_rendered_output_is_as_expected(preset: str, request: pytest.FixtureRequest) -> None:
    files = _rendered(preset)
    folder = HERE / preset
    if request.config.getoption("--update-golden"):
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    expected = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert files == expected, "if this is meant: make golden, and read the diff"


def test_there_is_nothing_left_of_presets_that_are_gone() -> None:
    assert {path.name for path in HERE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(shipped())
