"""One preset and one lock are one image: on this machine, and on another."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
    assert [(one["name"], one["diff_id"]) for one in there["layers"]] == [
        (one["name"], one["diff_id"]) for one in here["layers"]
    ]
    assert there["digest"] == here["digest"]
    assert cli.ok("verify", preset, "--digest", "--expect", there["digest"]).out.strip() == here["digest"]


def test_the_other_machine_is_another(other: OtherMachine, tmp_path: Path) -> None:
    """The proof proves nothing if its steps saw this machine's clock, or the engine was this one."""
    there = ("-H", f"unix://{other.socket}")
    assert docker(*there, "info", "--format", "{{.Name}}").strip() == HOSTNAME
    assert docker(*there, "info", "--format", "{{.ID}}") != docker("info", "--format", "{{.ID}}")
    image = json.loads(other.devenv("build", PRESETS[0], "--json"))["image"]["reference"]
    (tmp_path / "Dockerfile").write_text("FROM image\nRUN date +%Y > /year\nFROM scratch\nCOPY --from=0 /year /\n")
    docker(
        *there, "buildx", "build", "-q", "--network", "none", "--build-context", f"image=docker-image://{image}", "--output",
        f"type=local,dest={tmp_path / 'out'}", str(tmp_path),
    )  # fmt: skip
    assert (tmp_path / "out/year").read_text().strip() == CLOCK[1:5]


@pytest.fixture(scope="module")
def project(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset whose rebuild compiles no editor: that of `python` is compared above."""
    folder = tmp_path_factory.mktemp("t-plain")
    (folder / "devenv.yaml").write_text(
        "extends: python\nname: t-plain\ncode_server: null\njupyter: null\nnode: null\nnpm: null\nsmoke:\n"
        "  kernel: null\n  python:\n    run: [python, --version]\n"
    )
    cli.ok("lock", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def tampered(cli: Cli, project: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """An image with a changed, a new, a missing and an opened file and another variable, under the real one's name; and
    verify's report when it compares that image with the real preset."""
    built = cli.ok("build", "--json", cwd=project).json()["image"]["reference"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(
            f"FROM {built}\n"
            "RUN echo >> /usr/local/share/devenv/kernel_check.py && touch /opt/planted && rm /usr/bin/less"
            " && chmod 777 /usr/bin/git\nENV PLANTED=1\n"
        )
        docker("build", "-q", "--network", "none", "--tag", "t-tampered:1", folder)
    try:
        done = cli("verify", "--image", "t-tampered:1", "--json", cwd=project)
        assert done.code == 12, done.err
        yield "t-tampered:1", done.json()
    finally:
        docker("rmi", "-f", "t-tampered:1")


def test_what_differs_is_named(cli: Cli, project: Path, tampered: tuple[str, Mapping[str, Any]]) -> None:
    told = tampered[1]
    assert told["equal"] is False
    found = {one["path"]: one["what"] for one in told["differences"]}
    assert found.pop("usr/local/share/devenv/kernel_check.py").startswith("content ")
    assert found.pop("opt/planted") == "only in the image"
    assert found.pop("usr/bin/less") == "only in the rebuild"
    assert found.pop("usr/bin/git") == "mode 0777 → 0755"
    assert "PLANTED=1" in found.pop("Env")
    assert found == {}
    # Two builds without a cache on one machine: this rebuild, and the one that made the image.
    assert told["rebuilt_digest"] == cli.ok("verify", "--digest", cwd=project).out.strip()


def test_an_image_whose_files_were_changed_is_not_what_it_states(
    cli: Cli, project: Path, tampered: tuple[str, Mapping[str, Any]]
) -> None:
    """Held to itself it builds to the changed files: its label gives it away. By tag and by id."""
    identity = docker("image", "inspect", "--format", "{{.Id}}", tampered[0]).strip()
    for reference in (tampered[0], identity):
        told = cli.ok("verify", reference, "--digest", "--json").json()
        assert (told["digest"], told["stated"]) == (tampered[1]["digest"], False)
    built = cli.ok("build", "--json", cwd=project).json()["image"]["reference"]
    assert cli.ok("verify", built, "--digest", "--json").json()["stated"] is True
    assert cli("verify", tampered[0], "--digest", "--expect", f"sha256:{'0' * 64}").code == 12


def test_what_is_no_image_of_ours_is_said(cli: Cli) -> None:
    for what in ("nothing-of-that-name", "nothing:1"):
        done = cli("verify", what)
        assert done.code == 2
        assert "devenv presets" in done.err
