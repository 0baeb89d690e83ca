"""Every shipped preset that a CI machine can run comes up and passes its smoke test and its `verify` script. NOT_HERE
has the reason for each of the others. tests/golden checks that every preset is locked, fits its lock and renders."""

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
"""Those that come up here, and what their environments are called."""
_GPU = "needs an NVIDIA GPU, which a machine of CI does not have"
NOT_HERE = {
    "deepseek-ocr": _GPU,
    "deepseek-ocr-2": _GPU,
    "deepseek-ocr-cpu": "needs 13 GB and the real weights; all of it with tiny ones: tests/integration/test_ocr_cpu.py",
    "deepseek-ocr-cu12": _GPU,
    "deepseek-ocr-transformers": _GPU,
    "pytorch-cpu": "is what deepseek-ocr-cpu extends, whose image tests/integration/test_ocr_cpu.py builds and starts",
    "pytorch-cuda": _GPU,
    "transformers-cpu": "its server, on the image of deepseek-ocr-cpu, serves in tests/integration/test_ocr_cpu.py",
    "vllm": _GPU,
    "vllm-cu12": _GPU,
}
"""Those that do not come up here, and why: a new preset needs a line in one of the two."""


def test_of_every_shipped_preset_it_is_said_whether_it_comes_up_here() -> None:
    shipped = {path.parent.name for path in PRESETS.glob("*/preset.yaml")}
    assert set(NAMES) | set(NOT_HERE) == shipped, "add it to NAMES, or to NOT_HERE with the reason"
    assert not set(NAMES) & set(NOT_HERE)
    assert all(len(reason) > 10 for reason in NOT_HERE.values())


def test_every_verify_script_can_be_read_by_bash() -> None:
    scripts = sorted(PRESETS.glob("*/verify"))
    assert {path.parent.name for path in scripts} >= set(NAMES)
    done = [subprocess.run(["bash", "-n", one], capture_output=True, text=True, check=False) for one in scripts]
    assert [one.stderr for one in done if one.returncode] == []


@pytest.mark.parametrize(("preset", "script"), [("python", "python"), ("rapidocr", "rapidocr"), ("rapidocr", "ocr")])
def test_verify(preset: str, script: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("up_python" if preset == "python" else "up_rapidocr")
    with (PRESETS / script / "verify").open() as lines:
        done = subprocess.run(
            ["docker", "exec", "-i", "-u", "dev", f"devenv-{NAMES[preset]}", "devenv-exec", "bash", "-s"],
            stdin=lines, capture_output=True, text=True, check=False,
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
