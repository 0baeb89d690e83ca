"""One preset and one lock are one image: on this machine, and on another."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.othermachine import CLOCK, HOSTNAME, OtherMachine
from tests.integration.conftest import Cli, docker

pytestmark = pytest.mark.engine
PRESETS = os.environ.get("DEVENV_TEST_IDENTITY", "python").split()
"""CI proves the smallest preset; DEVENV_TEST_IDENTITY='python rapidocr' proves more."""


@pytest.fixture(scope="module")
def other() -> Iterator[OtherMachine]:
    assert os.getuid() == 0, "another machine is made of namespaces: run this test as root"
    top = Path(tempfile.mkdtemp(prefix="t-other-", dir="/var/tmp"))
    machine = OtherMachine(top)
    try:
        with machine.running():
            yield machine
    finally:
        shutil.rmtree(top, ignore_errors=True)


@pytest.mark.parametrize("preset", PRESETS)
def test_another_machine_makes_the_same_image(cli: Cli, other: OtherMachine, preset: str) -> None:
    cli.ok("build", preset)  # what the other machine finds in its store is fetched
    here = cli.ok("verify", preset, "--digest", "--json").json()
    there = json.loads(other.devenv("verify", preset, "--digest", "--json"))
    assert there["lock_digest"] == here["lock_digest"]
    assert [one["diff_id"] for one in there["layers"]] == [one["diff_id"] for one in here["layers"]]
    assert there["digest"] == here["digest"]
    assert cli.ok("verify", preset, "--digest", "--expect", there["digest"]).out.strip() == here["digest"]


def test_the_other_machine_is_another(other: OtherMachine, tmp_path: Path) -> None:
    """The proof proves nothing if its steps saw this machine's clock, or the engine was this one."""
    there = ("-H", f"unix://{other.socket}")
    assert docker(*there, "info", "--format", "{{.Name}}").strip() == HOSTNAME
    assert docker(*there, "info", "--format", "{{.ID}}") != docker("info", "--format", "{{.ID}}")
    image = docker(
        *there, "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=devenv/python"
    ).split()[0]
    (tmp_path / "Dockerfile").write_text("FROM image\nRUN date +%Y > /year\nFROM scratch\nCOPY --from=0 /year /\n")
    docker(
        *there, "buildx", "build", "-q", "--build-context", f"image=docker-image://{image}", "--output",
        f"type=local,dest={tmp_path / 'out'}", str(tmp_path),
    )  # fmt: skip
    assert (tmp_path / "out/year").read_text().strip() == CLOCK[1:5]


def test_what_differs_is_named(cli: Cli) -> None:
    """An image with a changed, a new, a missing and an opened file, and another variable, in the place of the real one."""
    built = cli.ok("build", "python", "--json").json()["image"]["reference"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(
            f"FROM {built}\n"
            "RUN echo >> /usr/local/share/devenv/kernel_check.py && touch /opt/planted && rm /usr/bin/less"
            " && chmod 777 /usr/bin/git\nENV PLANTED=1\n"
        )
        docker("build", "-q", "--network", "none", "--tag", "t-tampered:1", folder)
    try:
        done = cli("verify", "t-tampered:1", "--json")
    finally:
        docker("rmi", "-f", "t-tampered:1")
    assert done.code == 12, done.err
    told = done.json()
    assert told["equal"] is False
    found = {one["path"]: one["what"] for one in told["differences"]}
    assert found.pop("usr/local/share/devenv/kernel_check.py").startswith("content ")
    assert found.pop("opt/planted") == "only in the image"
    assert found.pop("usr/bin/less") == "only in the rebuild"
    assert found.pop("usr/bin/git") == "mode 0777 → 0755"
    assert "PLANTED=1" in found.pop("Env")
    assert found == {}
    assert told["rebuilt_digest"] == cli.ok("verify", "python", "--digest").out.strip()
