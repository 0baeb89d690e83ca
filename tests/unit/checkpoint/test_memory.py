"""The least memory, counted by hand for known shapes."""

from __future__ import annotations

import pytest

from devenv.checkpoint.memory import cache_per_token, need
from tests.unit.checkpoint.conftest import GPT2, LLAMA, QWEN_VL, checkpoint

MLA = {
    "num_hidden_layers": 61,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "num_attention_heads": 128,
    "hidden_size": 7168,
}
MIXED = {**LLAMA, "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 8}


@pytest.mark.parametrize(
    ("config", "each"),
    [
        (LLAMA, 2 * 32 * 8 * 128 * 2),
        (GPT2, 2 * 12 * 12 * 64 * 2),
        (MLA, 61 * (512 + 64) * 2),
        (MIXED, 2 * 8 * 8 * 128 * 2),
        ({"text_config": LLAMA, "hidden_size": 1}, 2 * 32 * 8 * 128 * 2),
        ({**GPT2, "multi_query": True}, 2 * 12 * 1 * 64 * 2),
        ({"num_hidden_layers": 4}, None),
        ({"num_hidden_layers": "4", "num_attention_heads": True, "hidden_size": -1}, None),
        ({}, None),
    ],
)
def test_the_cache_of_one_token(config: dict[str, object], each: int | None) -> None:
    assert cache_per_token(checkpoint(config), 2) == each


def test_a_known_model_of_eight_billion_parameters() -> None:
    found = need(checkpoint(), 16_060_522_240, "vllm", with_picture=False)
    assert (found.tokens, found.cache_bytes) == (4096, 4096 * 131_072)
    assert found.total_gib == 19  # 15.0 weights, 0.5 cache and 1.5 for the engine, in 0.9 of the GPU


def test_a_picture_needs_more_tokens_and_a_short_context_fewer() -> None:
    assert need(checkpoint(QWEN_VL), 0, "vllm", with_picture=True).tokens == 8192
    assert need(checkpoint(GPT2), 0, "vllm", with_picture=False).tokens == 1024


def test_wide_numbers_are_halved_by_vllm_alone() -> None:
    wide = checkpoint({**GPT2, "torch_dtype": "float32"})
    assert need(wide, 1000, "vllm", with_picture=False).weights_bytes == 500
    assert need(wide, 1000, "transformers", with_picture=False).weights_bytes == 1000


def test_what_is_not_told_is_said_to_be_unknown() -> None:
    assert need(checkpoint({}), 1000, "vllm", with_picture=False).cache_bytes is None
