"""Which files of a repository are taken, and which repositories are refused."""

from __future__ import annotations

import pytest

from devenv.checkpoint.formats import choose
from devenv.errors import UsageError
from devenv.preset.model import Model
from devenv.resolve.model import wanted
from tests.unit.checkpoint.conftest import FILES, checkpoint

BESIDE = {
    "pytorch_model.bin": 9, "training_args.bin": 9, "model.onnx": 9, "onnx/model.onnx": 9, "modeling_own.py": 9,
    "assets/demo.png": 9, "consolidated.safetensors": 9, "1_Dense/model.safetensors": 9, "LICENSE": 9, "q4.gguf": 9,
}  # fmt: skip


def test_weights_in_one_form_are_taken_and_nothing_that_can_run() -> None:
    found = choose(checkpoint(files=FILES | BESIDE), with_code=False)
    wish = Model.model_validate({"huggingface": {"id": "a/b", "revision": "0" * 40}, "deny": found.deny})
    kept = [path for path in FILES | BESIDE if wanted(path, wish)]
    assert kept == ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "LICENSE"]
    assert [file.path for file in found.weights] == ["model.safetensors"]
    assert found.all_bytes == sum(FILES.values()) + 9


def test_other_forms_of_the_same_weights_are_left_out_and_shards_are_all_taken() -> None:
    found = choose(checkpoint(files=FILES | {"model.fp16.safetensors": 9}), with_code=False)
    assert ([file.path for file in found.weights], found.deny) == (["model.safetensors"], ("model.fp16.safetensors",))
    shards = {f"model-0000{number}-of-00002.safetensors": 9 for number in (1, 2)}
    listed = {"config.json": 9, "model.safetensors.index.json": 9, **shards, "consolidated.safetensors": 18}
    found = choose(checkpoint(files=listed), with_code=False)
    assert ([file.path for file in found.weights], found.deny) == (list(shards), ("consolidated.safetensors",))


def test_code_is_taken_only_when_it_is_said() -> None:
    files = FILES | {"modeling_own.py": 9}
    assert "*.py" in choose(checkpoint(files=files), with_code=False).deny
    found = choose(checkpoint(files=files), with_code=True)
    assert "*.py" not in found.deny
    assert "modeling_own.py" in [file.path for file in found.others]


def test_what_there_is_nothing_of_is_not_denied() -> None:
    assert choose(checkpoint(), with_code=False).deny == ()


@pytest.mark.parametrize(
    ("files", "about", "words"),
    [
        ({"config.json": 9, "pytorch_model.bin": 9}, {}, "pickles only: reading a pickle can run any code"),
        ({"model-q4.gguf": 9, "README.md": 9}, {}, "only GGUF files"),
        ({"model_index.json": 9, "unet/model.safetensors": 9}, {}, "a diffusion pipeline"),
        (FILES, {"library": "diffusers"}, "a diffusion pipeline"),
        ({"adapter_config.json": 9, "adapter_model.safetensors": 9}, {}, "an adapter: it has no weights of its own"),
        (FILES, {"task": "feature-extraction"}, "feature-extraction (embedding)"),
        (FILES, {"task": "automatic-speech-recognition"}, "automatic-speech-recognition (speech)"),
        ({"README.md": 9}, {}, "no config.json and no safetensors"),
        ({"config.json": 9}, {}, "no weights in safetensors"),
    ],
)
def test_what_is_refused_says_why_and_what_to_do(files: dict[str, int], about: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        choose(checkpoint(files=files, **about), with_code=False)
    assert words in refused.value.message
    assert refused.value.hint
