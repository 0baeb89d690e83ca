"""How much memory a model needs at least: its weights, a short context, and what the engine takes for itself."""

from __future__ import annotations

import dataclasses

from devenv.checkpoint.checkpoint import Checkpoint

_GIB = 1 << 30
_SHORT, _WITH_PICTURE = 4096, 8192
"""Tokens of the floor: one request, without and with a picture."""
_ENGINE = {"vllm": 3 * _GIB // 2, "transformers": _GIB}
"""What is neither weights nor cache: the CUDA context, activations of the largest step, captured graphs; PyTorch
itself. An estimate, not measured for each model."""
_SHARE = 0.9
"""The part of a GPU that vLLM takes: `gpu_memory_utilization` is 0.9 in 0.19 and 0.92 in 0.29."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes. `cache_bytes`: for `tokens` tokens; None where the configuration does not tell."""

    weights_bytes: int
    cache_bytes: int | None
    tokens: int
    engine_bytes: int
    total_bytes: int

    @property
    def total_gib(self) -> int:
        """The total, rounded up, as presets have it."""
        return max(1, -(-self.total_bytes // _GIB))


def need(checkpoint: Checkpoint, weights_bytes: int, engine: str, *, with_picture: bool) -> Need:
    """The least memory on one GPU (`vllm`), or in the machine (`transformers`).

    Weights: the bytes of the safetensors files, which are parameters times bytes of a number; vLLM halves 32-bit
    numbers (`--dtype auto`: float16 or bfloat16), Transformers keeps what is stored. Cache: `cache_per_token` times the
    floor's tokens, because vLLM does not start where one request has no room. To that an estimate for the engine, and
    for vLLM the part of the GPU that it leaves free. Source: `FullAttentionSpec` and `MLAAttentionSpec` in
    vllm/v1/kv_cache_interface.py; "Conserving memory" in vLLM's documentation.
    """
    longest = checkpoint.number("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
    tokens = min(longest or _SHORT, _WITH_PICTURE if with_picture else _SHORT)
    halved = engine == "vllm" and checkpoint.stored_bytes == 4
    loaded = weights_bytes // 2 if halved else weights_bytes
    width = 2 if engine == "vllm" else checkpoint.stored_bytes
    each = cache_per_token(checkpoint, width)
    cache = None if each is None else each * tokens
    total = loaded + (cache or 0) + _ENGINE[engine]
    if engine == "vllm":
        total = int(total / _SHARE)
    return Need(weights_bytes=loaded, cache_bytes=cache, tokens=tokens, engine_bytes=_ENGINE[engine], total_bytes=total)


def cache_per_token(checkpoint: Checkpoint, number_bytes: int) -> int | None:
    """Bytes of keys and values for one token: 2 × layers × key-value heads × size of a head × bytes of a number; for
    latent attention (`kv_lora_rank`) layers × (rank + rotary part) × bytes. Layers of linear attention keep no such
    cache. None where the configuration does not tell."""
    layers = _layers(checkpoint)
    if layers is None:
        return None
    if rank := checkpoint.number("kv_lora_rank"):
        return layers * (rank + (checkpoint.number("qk_rope_head_dim") or 0)) * number_bytes
    heads = checkpoint.number("num_attention_heads", "n_head", "n_heads", "num_heads")
    width = checkpoint.number("hidden_size", "n_embd", "d_model", "dim")
    head = checkpoint.number("head_dim") or (width // heads if width and heads else None)
    pairs = checkpoint.number("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num") or heads
    if checkpoint.text_config.get("multi_query") is True:
        pairs = 1
    return 2 * layers * pairs * head * number_bytes if pairs and head else None


def _layers(checkpoint: Checkpoint) -> int | None:
    kinds = checkpoint.text_config.get("layer_types")
    if isinstance(kinds, list) and 0 < len(kinds) < 10_000:
        kept = [kind for kind in kinds if isinstance(kind, str) and "attention" in kind and "linear" not in kind]
        return len(kept) or None
    return checkpoint.number("num_hidden_layers", "n_layer", "n_layers", "num_layers")
