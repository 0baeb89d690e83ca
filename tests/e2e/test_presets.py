"""Every shipped preset comes up, passes its smoke test, and its `verify` script passes inside."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Cli

pytestmark = pytest.mark.engine
PRESETS = Path(__file__).parents[2] / "presets"
NAMES = {"python": "t-python", "rapidocr": "t-ocr"}


def test_every_shipped_preset_is_tested_here() -> None:
    assert {path.parent.name for path in PRESETS.glob("*/preset.yaml")} == set(NAMES)


@pytest.mark.parametrize("preset", sorted(NAMES))
def test_verify(preset: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("up_python" if preset == "python" else "up_rapidocr")
    with (PRESETS / preset / "verify").open() as script:
        done = subprocess.run(
            ["docker", "exec", "-i", "-u", "dev", f"devenv-{NAMES[preset]}", "devenv-exec", "bash", "-s"],
            stdin=script, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_smoke_test_read_a_picture(up_rapidocr: Mapping[str, Any]) -> None:
    check = next(one for one in up_rapidocr["smoke"]["checks"] if one["name"] == "ocr")
    report = check["report"]
    assert check["passed"] is True
    assert report["cer_en"] <= 0.05
    assert report["cer_zh"] <= 0.05
    assert "发票" in report["text"]


def test_a_blank_picture_would_fail_the_smoke_test(up_rapidocr: Mapping[str, Any], cli: Cli) -> None:
    command = next(c for c in _smoke_command(cli))
    done = cli("exec", "--name", "t-ocr", *command, "--blank")
    assert done.code != 0


def _smoke_command(cli: Cli) -> list[list[str]]:
    shown = cli.ok("show", "rapidocr", "--json").json()
    return [shown["preset"]["smoke"]["ocr"]["run"]]
