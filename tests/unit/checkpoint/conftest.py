"""Checkpoints as a hub would describe them: the configurations of known kinds, made up and short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devenv.checkpoint.checkpoint import Checkpoint
from devenv.doors.http.hubs import About, HubFile

COMMIT = "c0ffee" + "0" * 34
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16", "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096, "max_position_embeddings": 131072,
}  # fmt: skip
GPT2 = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "n_ctx": 1024,
}
QWEN_VL = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", "torch_dtype": "bfloat16",
    "hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2,
    "max_position_embeddings": 128000, "vision_config": {"depth": 32},
}  # fmt: skip
FILES = {
    "config.json": 800,
    "tokenizer.json": 10_000,
    "tokenizer_config.json": 500,
    "model.safetensors": 16_060_522_240,
}


def checkpoint(
    config: Mapping[str, Any] = LLAMA, files: Mapping[str, int] = FILES, *, template: bool = True, **about: Any
) -> Checkpoint:
    """A checkpoint with these files (path → bytes); `about` are words of the hub's."""
    listed = tuple(HubFile(path=path, size=size) for path, size in files.items())
    facts = {"commit": COMMIT, "is_gated": False, "licence": "apache-2.0", "task": "text-generation", **about}
    return Checkpoint(
        hub="huggingface", id="acme/Some-Model-1B", asked="main", revision=COMMIT, config=config, has_template=template,
        about=About(files=listed, **facts),
    )  # fmt: skip
