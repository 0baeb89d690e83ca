"""The files that `init --model` writes for three architectures, and what vLLM's service becomes in the image."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from devenv.checkpoint import formats, memory, report, serving, support, text
from devenv.checkpoint.offer import Offer, Surroundings, write
from devenv.compat.matrix import read
from devenv.doors.http.web import Web
from devenv.errors import PresetError
from devenv.lock.files import beside
from devenv.lock.model import Lock
from devenv.lock.model import read as read_lock
from devenv.plan.plan import plan
from devenv.preset.base_option import other_base
from devenv.preset.load import load
from devenv.render.render import render
from tests.unit.checkpoint.conftest import FILES, GPT2, LLAMA, QWEN_VL, checkpoint
from tests.unit.checkpoint.test_serving import H100
from tests.unit.handmade import settings

EXPECTED = Path(__file__).parent / "expected"
KINDS = {"llama": (LLAMA, True), "gpt2": (GPT2, False), "qwen2_5_vl": (QWEN_VL, True)}


@functools.cache
def _chosen(preset: str) -> serving.Serving:
    return serving.choose(preset, Path("/"), lambda: H100, _matrix())


@functools.cache
def _lock(preset: str) -> Lock:
    return read_lock(beside(_chosen(preset).loaded.path))


_matrix = functools.cache(read)


def _offer(config: Mapping[str, object], template: bool, preset: str = "vllm", base: str | None = None) -> Offer:
    looked = checkpoint(config, template=template)
    chosen = _chosen(preset)
    judged = support.judge(looked, chosen.release, trusted=True)
    files = formats.choose(looked, with_code=judged.needs_code)
    takes = judged.takes_pictures and template
    return Offer(
        checkpoint=looked, serving=chosen, support=judged, chosen=files, extends=preset,
        need=memory.need(looked, files.weights_bytes, chosen.release.engine, with_picture=takes),
        kind="picture" if takes else "chat" if template else "text",
        base=other_base(base, chosen.preset) if base else None,
    )  # fmt: skip


def _around(folder: Path) -> Surroundings:
    own = settings(folder)
    return Surroundings(folder=folder, settings=own, web=Web(own), matrix=_matrix(), machine=lambda: H100)


def _service(folder: Path, preset: str) -> str:
    """The command that the image's supervisor runs."""
    loaded = load(folder / "devenv.yaml")
    rendered = render(plan(loaded, _lock(preset)))
    files = {**rendered.context, **rendered.files}
    assert '"/usr/local/share/devenv/completion.py"' in files["Dockerfile"].decode()
    return files["image/etc/devenv/serve/sv/model/run"].decode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", ["vllm", "vllm-cu12", "transformers-cpu"])
def test_the_project_is_as_expected(kind: str, preset: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    write(_offer(*KINDS[kind], preset=preset), _around(folder), force=False)
    found = {"devenv.yaml": (folder / "devenv.yaml").read_text(), "run": _service(folder, preset)}
    place = EXPECTED / preset / kind
    if request.config.getoption("--update-golden"):
        place.mkdir(parents=True, exist_ok=True)
        for name, content in found.items():
            (place / name).write_text(content)
    assert found == {path.name: path.read_text() for path in place.iterdir()}, "if this is meant: make golden"


def test_vllm_serves_the_mounted_model_under_its_own_name() -> None:
    command = text.command(_offer(*KINDS["llama"]))
    assert command == (
        "vllm", "serve", "/models/some-model-1b", "--served-model-name", "acme/Some-Model-1B", "--host", "127.0.0.1",
        "--port", "8601", "--max-model-len", "auto",
    )  # fmt: skip


def test_code_is_run_only_when_it_is_needed() -> None:
    own = {**LLAMA, "architectures": ["AcmeForCausalLM"], "model_type": "acme", "auto_map": {"AutoModel": "m.M"}}
    assert text.command(_offer(own, True))[-1] == "--trust-remote-code"
    assert "--trust-remote-code" not in text.command(_offer({**LLAMA, "auto_map": {"AutoModel": "m.M"}}, True))


def test_another_base_comes_with_its_python(tmp_path: Path) -> None:
    write(_offer(*KINDS["llama"], base="ubuntu:24.04"), _around(tmp_path), force=False)
    preset = load(tmp_path / "devenv.yaml").preset
    assert (preset.base.image, preset.python) == ("ubuntu:24.04", "3.12")
    assert preset.env["CUDA_HOME"] == "/opt/venv/lib/python3.12/site-packages/nvidia/cu13"


def test_nothing_is_left_where_the_versions_clash(tmp_path: Path) -> None:
    made = _offer(*KINDS["llama"], preset="vllm")
    clashing = dataclasses.replace(made, base=dataclasses.replace(other_base("debian:bookworm", made.serving.preset),
                                                                  python="3.9"))  # fmt: skip
    with pytest.raises(PresetError, match="mistakes in the new") as clash:
        write(clashing, _around(tmp_path), force=False)
    assert "has wheels for Python 3.10 to 3.14, not 3.9" in clash.value.problems[0].message
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_link_that_leads_out_of_the_project_is_not_followed(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "project"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / ".devenv").symlink_to(elsewhere)
    with pytest.raises(PresetError, match="cannot write in"):
        write(_offer(*KINDS["llama"]), _around(folder), force=False)
    assert list(elsewhere.iterdir()) == []
    assert not (folder / "devenv.yaml").exists()


def test_what_is_said_before_a_download() -> None:
    said = "\n".join(report.lines(_offer(*KINDS["qwen2_5_vl"])))
    assert "16.1 GB (16060533540 bytes), of which weights 16.1 GB" in said
    assert "about 19 GiB at least (weights 16.1 GB, cache for 8192 tokens 302.0 MB, the engine's own 1.6 GB)" in said
    assert "licence: apache-2.0; not gated" in said
    assert "vLLM 0.29.0 knows it; it takes pictures" in said
    assert report.here(_offer(*KINDS["qwen2_5_vl"]), H100) == "this machine's NVIDIA H100 80GB HBM3 has 79.6 GiB"
    document = report.document(_offer(*KINDS["qwen2_5_vl"]), H100)
    assert document["memory"]["here_bytes"] == H100.nvidia.gpus[0].memory_bytes
    assert document["model"]["weights_bytes"] == 16_060_522_240
    assert document["engine"]["knows_architecture"] == "known"
    assert json.dumps(document)


def test_a_gpu_that_is_too_small_is_named() -> None:
    gpu = dataclasses.replace(H100.nvidia.gpus[0], memory_bytes=8 << 30)
    small = dataclasses.replace(H100, nvidia=dataclasses.replace(H100.nvidia, gpus=(gpu,)))
    (words,) = report.warnings(_offer(*KINDS["llama"]), small)
    assert "the largest GPU here has 8.0 GiB, which is not enough" in words
    assert report.here(_offer(*KINDS["llama"]), small) == ""
    assert report.warnings(_offer(*KINDS["llama"]), H100) == ()


def test_an_own_check_is_not_overwritten(tmp_path: Path) -> None:
    own = tmp_path / text.CHECK
    own.parent.mkdir()
    own.write_text("mine")
    with pytest.raises(PresetError, match="exists already, with other content"):
        write(_offer(*KINDS["llama"]), _around(tmp_path), force=False)
    assert own.read_text() == "mine"
    write(_offer(*KINDS["llama"]), _around(tmp_path), force=True)
    assert own.read_text() != "mine"


def test_names_of_any_script_in_a_repository_are_patterns_of_the_preset(tmp_path: Path) -> None:
    folders = ("\N{GRINNING FACE}", "a\x7f\x85b", '"]\nname: evil', "[x]")
    looked = checkpoint(files={**FILES, **{f"{folder}/x.safetensors": 9 for folder in folders}})
    chosen = formats.choose(looked, with_code=False)
    assert {file.path for file in (*chosen.weights, *chosen.others)} == set(FILES)
    made = dataclasses.replace(_offer(*KINDS["llama"]), checkpoint=looked, chosen=chosen)
    write(made, _around(tmp_path), force=False)
    found = load(tmp_path / "devenv.yaml").preset
    assert found.model is not None
    assert found.model.deny == chosen.deny
    assert found.name != "evil"
