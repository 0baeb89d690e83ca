"""`devenv init --model` against hubs on loopback: what is read, what is said, and what is refused. Nothing is built."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.cli import run
from devenv.doors.machine import nvidia
from devenv.doors.machine.model import Nvidia, from_json
from devenv.preset.load import load
from tests.integration.hub import COMMIT, ID, Hub

CONFIG = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "dtype": "bfloat16", "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 32, "max_position_embeddings": 512,
}  # fmt: skip
FILES: dict[str, bytes | Path] = {
    "config.json": json.dumps(CONFIG).encode(), "tokenizer.json": b"{}",
    "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}', "model.safetensors": bytes(5000), "README.md": b"#",
    "pytorch_model.bin": bytes(2000),
}  # fmt: skip
FACTS = {"gated": False, "cardData": {"license": "apache-2.0"}, "pipeline_tag": "text-generation"}
H100 = from_json(json.loads((Path(__file__).parents[1] / "data" / "machines" / "h100-x1.json").read_text()))
NOWHERE = "http://127.0.0.1:9"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An empty project, a hub, and what the commands printed."""

    hub: Hub
    folder: Path
    captured: pytest.CaptureFixture[str]

    def init(self, *arguments: str, status: int = 0, model: str = ID) -> str:
        """Run `devenv init --model`; what it said to people, in one line."""
        self.hub.seen.clear()
        assert run(["init", "--model", model, *arguments]) == status
        return " ".join(self.captured.readouterr().err.split())

    @property
    def asked(self) -> list[str]:
        """The paths of all requests."""
        return [one.path.partition("?")[0] for one in self.hub.seen]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("HF_TOKEN", "MODELSCOPE_API_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))
    monkeypatch.setattr(nvidia, "look", lambda _: Nvidia())
    with Hub(FILES) as hub:
        hub.facts = dict(FACTS)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", NOWHERE)
        yield World(hub=hub, folder=folder, captured=capsys)


def _config(world: World, **changes: Any) -> None:
    world.hub.files["config.json"] = json.dumps(CONFIG | changes).encode()


def test_a_project_is_written_and_only_metadata_were_read(world: World) -> None:
    said = world.init()
    assert "download: 5.2 kB (5248 bytes), of which weights 5.0 kB in 1 file" in said
    assert "licence: apache-2.0; not gated" in said
    assert "Qwen2ForCausalLM: Transformers 5.23.0 knows it" in said
    assert "wrote devenv.yaml, .devenv/preset.schema.json and .devenv/completion.py" in said
    preset = load(world.folder / "devenv.yaml").preset
    assert preset.model is not None
    assert preset.model.huggingface is not None
    assert (preset.model.huggingface.id, preset.model.huggingface.revision) == (ID, COMMIT)
    assert preset.model.deny == ("*.bin",)
    assert preset.smoke["completion"].run[-2:] == ("--port", "8601")
    assert sorted(path for path in world.asked if ID in path) == [
        f"/{ID}/resolve/{COMMIT}/config.json", f"/{ID}/resolve/{COMMIT}/tokenizer_config.json",
        f"/api/models/{ID}/revision/main",
    ]  # fmt: skip


def test_the_document(world: World) -> None:
    assert run(["init", "--model", ID, "--json"]) == 0
    document = json.loads(world.captured.readouterr().out)
    assert document["model"]["revision"] == COMMIT
    assert document["model"]["weights_bytes"] == 5000
    assert document["memory"]["of"] == "machine"
    assert document["engine"] == {
        "name": "transformers", "version": "5.23.0", "knows_architecture": "known", "runs_code": False,
    }  # fmt: skip
    assert (document["smoke"], document["extends"]) == ("chat", "transformers-cpu")


def test_a_machine_with_a_gpu_gets_vllm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "look", lambda _: H100.nvidia)
    said = world.init("--base", "ubuntu:24.04")
    assert "this machine's NVIDIA H100 80GB HBM3 has 79.6 GiB" in said
    assert "GPU memory: about 2 GiB at least" in said
    preset = load(world.folder / "devenv.yaml").preset
    assert preset.services["model"].command[:3] == ("vllm", "serve", "/models/tiny-1.0")
    assert (preset.vllm, preset.base.image, preset.gpu and preset.gpu.memory) == ("0.29.0", "ubuntu:24.04", "2g")


def test_a_revision_is_pinned_by_its_commit(world: World) -> None:
    world.init(model=f"{ID}@{COMMIT}")
    assert "when this file was made" not in (world.folder / "devenv.yaml").read_text()
    said = world.init("--force", model=f"{ID}@v9", status=8)
    assert f"{ID} has no revision v9 on Hugging Face" in said
    assert "name a commit, a tag or a branch" in said


def test_a_name_that_the_hub_does_not_know_comes_with_near_ones(world: World) -> None:
    world.hub.names = ("acme/Tiny-1.1", "acme/Tiny-1.0-Chat", "someone/else", "bad name/x")
    said = world.init(model="acme/Tiny-1.2", status=8)
    assert "Hugging Face has no acme/Tiny-1.2" in said
    assert "did you mean acme/Tiny-1.1 or acme/Tiny-1.0-Chat?" in said
    assert "--source modelscope" in said
    assert not (world.folder / "devenv.yaml").exists()


def test_a_name_without_near_ones_is_to_be_checked_first(world: World) -> None:
    said = world.init(model="acme/Other", status=8)
    assert "hint: check the name. Where the name is right: accept its licence at" in said


@pytest.mark.parametrize("model", ["gpt2", "a/b/c", "a/b@", "a/b@../x", "https://a/b", "a/b@x y", "../x", "a/\x1b[2J"])
def test_what_is_no_name_is_said_without_a_request(world: World, model: str) -> None:
    assert "OWNER/NAME" in world.init(model=model, status=2)
    assert world.asked == []


def test_a_gated_model_wants_a_token_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.hub.facts["gated"] = "manual"
    said = world.init(status=8)
    assert f"Hugging Face denies access to {ID}" in said
    assert "accept its licence at" in said
    assert len(world.asked) == 1
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    assert "gated, and your token has access" in world.init()
    assert "hf_made_up" not in (world.folder / "devenv.yaml").read_text()


def test_modelscope_by_the_users_region_and_by_option(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", world.hub.url)
    (tmp_path / "config" / "devenv").mkdir(parents=True)
    (tmp_path / "config" / "devenv" / "config.yaml").write_text("region: cn\n")
    assert "model: acme/Tiny-1.0 at master of modelscope" in world.init()
    preset = load(world.folder / "devenv.yaml").preset
    assert preset.model is not None
    assert preset.model.huggingface is None
    assert "of huggingface" in world.init("--source", "huggingface", "--force")


def test_a_hub_that_cannot_be_reached_gives_way_and_it_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", world.hub.url)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    said = world.init()
    assert "cannot ask huggingface for acme/Tiny-1.0; asking modelscope" in said
    assert "of modelscope" in said
    assert "cannot ask huggingface" in world.init("--source", "huggingface", "--force", status=8)


@pytest.mark.parametrize(("files", "status", "words"), [
    ({"config.json": b"{"}, 8, "config.json cannot be read"),
    ({"config.json": b"[]"}, 8, "config.json is not a JSON object"),
    ({"config.json": b"[" * 90 + b"]" * 90}, 8, "nested more than 64 deep"),
    ({"model.safetensors": None}, 2, "pickles only: reading a pickle can run any code"),
    ({"model_index.json": b"{}"}, 2, "a diffusion pipeline"),
    ({"config.json": b'{"architectures": ["AcmeModel"], "auto_map": {"AutoModel": "m.M"}}', "m.py": b"1"}, 2,
     "comes with code of its own, which the server would run"),
    ({"config.json": b'{"architectures": ["BertModel"], "model_type": "bert"}'}, 2, "does not know the architecture"),
    ({"config.json": json.dumps(CONFIG | {"quantization_config": {"quant_method": "awq"}}).encode()}, 13, "need a GPU"),
])  # fmt: skip
def test_what_is_refused_writes_nothing(world: World, files: dict[str, bytes | None], status: int, words: str) -> None:
    for path, body in files.items():
        if body is None:
            del world.hub.files[path]
        else:
            world.hub.files[path] = body
    said = world.init(status=status)
    assert words in said
    assert "hint:" in said
    assert list(world.folder.iterdir()) == []


def test_code_that_the_user_takes_is_pinned_and_named(world: World) -> None:
    _config(world, architectures=["AcmeForCausalLM"], model_type="acme", auto_map={"AutoModel": "modeling_acme.Acme"})
    world.hub.files["modeling_acme.py"] = b"raise SystemExit\n"
    said = world.init("--trust-remote-code")
    assert "the server runs the model's own code in the container, as you said: modeling_acme.py" in said
    preset = load(world.folder / "devenv.yaml").preset
    assert preset.services["model"].command[-1] == "--trust-remote-code"
    assert preset.model is not None
    assert "*.py" not in preset.model.deny


def test_code_that_is_not_needed_is_left_out_even_when_it_is_taken(world: World) -> None:
    _config(world, auto_map={"AutoModel": "modeling_own.Own"})
    world.hub.files["modeling_own.py"] = b"raise SystemExit\n"
    assert "--trust-remote-code is not needed" in world.init("--trust-remote-code")
    preset = load(world.folder / "devenv.yaml").preset
    assert preset.model is not None
    assert "*.py" in preset.model.deny
    assert "--trust-remote-code" not in preset.services["model"].command


def test_a_hub_of_another_kind_is_one_error(world: World) -> None:
    world.hub.facts |= {"sha": "\x1b[2J", "cardData": "x", "pipeline_tag": ["x"], "gated": {}}
    assert "names no commit" in world.init(status=8)
