"""DeepSeek-OCR on the CPU, from end to end: an image built while the model is not pinned yet, a checkpoint made inside that
image, a hub on loopback that serves it, the model recorded, fetched, mounted, loaded by Transformers, and run.

The checkpoint is tiny and its weights are random. The test proves that everything runs, and so does the report.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.checks.smoke import PLUMBING
from devenv.lock.model import read
from tests.integration.conftest import Cli, Done
from tests.integration.hub import COMMIT, ID, Hub

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("cli")]
NAME, PARENT = "t-ocr-cpu", "deepseek-ocr-cpu"
MAKER, CHECK, KINDS = (
    Path(__file__).with_name(name) for name in ("tinymodel.py", "tinycheck.py", "tinycheckpoints.py")
)
OCR = Path(__file__).parents[2] / "presets" / "ocr"
SERVER = Path(__file__).parents[2] / "presets" / "completions" / "completions"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What `up` did, and what it had to do it with."""

    cli: Cli
    image: str
    project: Path
    files: dict[str, bytes | Path]
    done: Done

    @property
    def json(self) -> Any:
        return self.done.json()


def _inside(image: str, script: Path, *arguments: str, folder: Path) -> None:
    """Run a Python script in a container of that very image, by the user outside, with `folder` as /made."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "-v", f"{folder}:/made", "-v", f"{script}:/script.py:ro",
         "--entrypoint", "/opt/venv/bin/python", "--user", f"{os.getuid()}:{os.getgid()}", "-e", "HOME=/tmp", image,
         "/script.py", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _checkpoint(image: str, folder: Path) -> dict[str, bytes | Path]:
    """The tiny checkpoint's files, made where the image's libraries are."""
    _inside(image, MAKER, "first", "/made", folder=folder)
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("ocr-cpu")
    cli, project = Cli(root / "state"), root / "project"
    project.mkdir(mode=0o777)
    shutil.copytree(OCR / "workspace" / "ocr", project / "ocr")  # a project takes the place of the image's own
    (project / "devenv.yaml").write_text(
        f"name: {NAME}\nextends: {PARENT}\nmemory: null\ncode_server: null\n"
        f"model: {{huggingface: {{id: {ID}, revision: {COMMIT}}}, modelscope: null}}\n"
        "smoke:\n  ocr: {run: [ocr, smoke, --tokens, '16'], expect: plumbing, timeout_s: 300}\n"
    )
    cli.env.update({"HF_HOME": str(root / "hf"), "DEVENV_WEIGHTS_DIR": str(root / "weights")})
    cli.ok("lock", "--without-model", cwd=project)
    image = cli.ok("build", "--json", cwd=project).json()["image"]["reference"]
    files = _checkpoint(image, root / "made")
    with Hub(files, lfs_bytes=10_000) as hub:
        cli.env["HF_ENDPOINT"] = hub.url
        try:
            yield World(cli=cli, image=image, project=project, files=files, done=cli("up", "--json", cwd=project))
        finally:
            cli("down", "--volumes", NAME)
            for one in json.loads(cli("weights", "list", "--json").out or "[]"):
                cli("weights", "rm", one["model"])


def test_the_whole_way_ends_in_a_plumbing_pass(world: World) -> None:
    assert world.done.code == 0, world.done.err
    (check,) = world.json["smoke"]["checks"]
    assert (check["name"], check["passed"], check["expect"]) == ("ocr", True, "plumbing")
    assert check["report"]["expect"] == "plumbing"
    assert check["report"]["backend"] == "transformers"
    assert check["report"]["tokens"] == 16
    assert f"ocr {PLUMBING}" in world.done.err
    assert "ocr passed" not in world.done.err


def test_the_model_that_the_lock_left_open_was_recorded_and_is_what_was_made(world: World) -> None:
    recorded = world.json["recorded"]
    assert recorded["files"] == len(world.files)
    assert recorded["hubs"] == ["huggingface"]
    model = read(world.project / "devenv.lock").model
    assert model is not None
    assert [one.path for one in model.files] == sorted(world.files)
    assert world.json["model"] == model.key
    stages = [one["name"] for one in world.json["stages"]]
    assert stages.index("record") < stages.index("build")


def test_a_plumbing_pass_is_said_in_its_own_words_again(world: World) -> None:
    done = world.cli.ok("smoke", NAME)
    assert done.out.startswith(f"ocr: {PLUMBING}")
    again = world.cli.ok("up", cwd=world.project)
    assert f"smoke ocr: {PLUMBING}" in again.err
    assert "recorded" not in again.err


def test_all_that_the_preset_promises_but_for_the_text(world: World) -> None:
    with (OCR / "verify").open() as script:
        done = subprocess.run(
            ["docker", "exec", "-i", "-u", "dev", "-e", "OCR_VERIFY=plumbing", f"devenv-{NAME}", "devenv-exec", "bash",
             "-s"],
            stdin=script, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("model", ["first", "second"])
def test_loader_batches_and_guard_agree_with_transformers(world: World, tmp_path: Path, model: str) -> None:
    _inside(world.image, MAKER, model, "/made", folder=tmp_path / "made")
    _inside(world.image, CHECK, "/made", folder=tmp_path / "made")


@pytest.mark.parametrize(("kind", "architecture", "asked"), [
    ("qwen2", "Qwen2ForCausalLM", "chat"), ("gpt2", "GPT2LMHeadModel", "text"),
    ("qwen2_vl", "Qwen2VLForConditionalGeneration", "picture"),
])  # fmt: skip
def test_any_model_of_a_hub_comes_up_with_one_real_completion(
    world: World, tmp_path: Path, kind: str, architecture: str, asked: str
) -> None:
    """`init --model`, `lock` and `up` of a tiny checkpoint. The preset has this image's packages, and so its layers, and
    the server of transformers-cpu."""
    _inside(world.image, KINDS, kind, "/made", folder=tmp_path / "made")
    project, name = tmp_path / "t-any-model", "t-any-model"
    shutil.copytree(SERVER, project / "completions", ignore=shutil.ignore_patterns("__pycache__"))
    (project / "base.yaml").write_text(
        f"extends: {PARENT}\nmodel: null\nmemory: null\ncode_server: null\nworkspace: null\n"
        "services: {model: null}\nsmoke: {ocr: null, served: null}\n"
        "files: {/usr/local/lib/devenv-completions/completions: completions}\n"
    )
    files: dict[str, bytes | Path] = {path.name: path for path in (tmp_path / "made").iterdir()}
    with Hub(files, lfs_bytes=10_000) as hub:
        cli = Cli(tmp_path / "state")
        cli.env.update({"HF_HOME": str(tmp_path / "hf"), "DEVENV_WEIGHTS_DIR": str(tmp_path / "weights")})
        cli.env["HF_ENDPOINT"] = hub.url
        try:
            said = cli.ok("init", "./base.yaml", "--model", ID, cwd=project).err
            assert f"{architecture}: Transformers 5.23.0 knows it" in said
            assert ("it takes pictures" in said) == (asked == "picture")
            assert not any("model.safetensors" in request.path for request in hub.seen)
            cli.ok("lock", cwd=project)
            done = cli.ok("up", "--json", cwd=project).json()
            (check,) = done["smoke"]["checks"]
            assert (check["name"], check["passed"], check["expect"]) == ("completion", True, "result")
            assert (check["report"]["model"], check["report"]["kind"]) == (ID, asked)
            assert check["report"]["tokens"] > 0
            assert check["report"]["text"].strip()
        finally:
            cli("down", "--volumes", name)
            for one in json.loads(cli("weights", "list", "--json").out or "[]"):
                cli("weights", "rm", one["model"])
