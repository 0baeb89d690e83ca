"""The exact rendered output of every shipped preset. After an intended change: `make golden`."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path

import pytest

from devenv.doors.dirs import templates_digest
from devenv.doors.settings.clusters import ClusterSettings
from devenv.lock import drift
from devenv.lock.files import beside
from devenv.lock.model import Lock, read
from devenv.plan.plan import plan
from devenv.preset.load import LoadedPreset, find, load, shipped
from devenv.render.kubernetes.files import render_kubernetes
from devenv.render.kubernetes.words import Wanted
from devenv.render.render import render
from tests.unit.examples import loaded, lock

HERE = Path(__file__).parent
LEFT_OUT = ("artifacts/", "build/", "image/usr/", "image/etc/profile.d/", "image/etc/devenv/sbom.cdx.json")
"""Lists that follow the lock, and files that are copied from templates/ as they are."""
IMAGE = "registry.example/devenv@sha256:" + "0" * 64
CLUSTERED = {
    "rapidocr": (
        Wanted(name="rapidocr", image=IMAGE), Wanted(name="rapidocr", image=IMAGE, role="serve", autoscale=(1, 4)),
        Wanted(name="rapidocr", image=IMAGE, role="run", command=("ocr", "batch", "pages"), parallel=8),
    ),
    "pytorch-cuda": (
        Wanted(
            name="trainer", image=IMAGE,
            settings=ClusterSettings(
                uid=None, storage_class="fast", memory_limit="16Gi", gpus=2, runtime_class="nvidia",
                node_selector=(("gpu", "h100"),), tolerations=((("key", "nvidia.com/gpu"), ("operator", "Exists")),),
            ),
        ),
    ),
}  # fmt: skip
"""What presets are in a cluster, for those that show all there is."""


@cache
def _shipped(preset: str) -> tuple[LoadedPreset, Lock]:
    found = load(find(preset, Path.cwd()))
    return found, read(beside(found.path))


def _rendered(preset: str) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("devenv.render.render.sbom", lambda _: b"")  # left out below, and most of the time it takes
        rendered = render(plan(*_shipped(preset)))
        files = {**rendered.context, **rendered.files}
    if preset in CLUSTERED:
        for wanted in CLUSTERED[preset]:
            files |= render_kubernetes(plan(*_shipped(preset)), wanted).files
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


@pytest.mark.parametrize("preset", shipped())
def test_its_lock_fits_it_and_only_a_model_is_open(preset: str) -> None:
    found, lock_ = _shipped(preset)
    assert drift.compare(lock_, found.preset) == (), f"devenv lock {preset} --without-model"
    assert lock_.platform == "linux/amd64"
    # Where locks are made no hub can be reached: a hash in a shipped lock could only be made up.
    assert lock_.model is None
    assert bool(lock_.open) == (found.preset.model is not None)


RECORD = HERE / "rendering.json"


def test_the_same_templates_render_to_the_same_bytes(request: pytest.FixtureRequest) -> None:
    """A lock stands for an image by the templates' digest: what Python makes of them must not change under it."""
    rendered = render(plan(loaded(), lock()))
    digest = hashlib.sha256()
    for name, data in sorted(rendered.context.items()):
        digest.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    found = {"templates": templates_digest(), "rendered": digest.hexdigest()}
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    same_templates = recorded.get("templates") == found["templates"]
    assert not same_templates or recorded == found, "raise RENDERING in devenv/doors/dirs.py, then: make golden"
    if request.config.getoption("--update-golden"):
        RECORD.write_text(json.dumps(found, indent=2) + "\n")
    assert json.loads(RECORD.read_text()) == found, "if this is meant: make golden"


def test_there_is_nothing_left_of_presets_that_are_gone() -> None:
    assert {path.name for path in HERE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(shipped())
