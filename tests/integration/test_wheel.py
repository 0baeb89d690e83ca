"""The wheel has everything that a checkout has: installed alone, it gives the same image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)], check=True)
    return next(folder.glob("devenv-*.whl"))


def test_templates_and_presets_travel_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("templates", "presets"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"devenv/_share/{path.relative_to(ROOT).as_posix()}" in names


def test_installed_from_it_devenv_makes_the_same_image(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)],
        check=True, umask=0o077,
    )  # fmt: skip

    def image(python_path: str, out: str) -> str:
        env = {**os.environ, "PYTHONPATH": python_path}
        command = [sys.executable, "-m", "devenv", "render", "rapidocr", "-o", str(tmp_path / out)]
        subprocess.run(command, check=True, env=env, cwd=tmp_path, capture_output=True)
        return str(json.loads((tmp_path / out / ".devcontainer" / "devcontainer.json").read_text())["image"])

    code = "import devenv; print(devenv.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(site)}, cwd=tmp_path,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert where.startswith(str(site)), "this would not test the wheel"
    assert image(str(site), "installed") == image(str(ROOT), "checkout")
