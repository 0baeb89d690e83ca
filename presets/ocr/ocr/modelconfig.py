"""A published config.json in the words of Transformers' own classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IMAGE_TOKEN = 128815
_WINDOW = 128
_NATIVE_FIRST = "unlimited_ocr"
_NATIVE_SECOND = "deepseek_ocr2"
_LEFT_OUT = frozenset(
    {"architectures", "auto_map", "torch_dtype", "transformers_version", "_name_or_path", "model_type", "dtype"}
)


def first(config: Mapping[str, Any]) -> dict[str, Any]:
    """For `UnlimitedOcrConfig`: its class has DeepSeek-OCR's layers, and with full attention it is that model."""
    if config.get("model_type") == _NATIVE_FIRST:
        return {key: value for key, value in config.items() if key not in _LEFT_OUT}
    text = _text(config)
    layers = int(text.get("num_hidden_layers", 12))
    text |= {"layer_types": ["full_attention"] * layers, "sliding_window": _WINDOW}
    width = _section(_section(config, "vision_config"), "width")
    sam, clip = _section(width, "sam_vit_b"), _section(width, "clip-l-14-224")
    return {
        "text_config": text,
        "image_token_id": int(config.get("image_token_id", IMAGE_TOKEN)),
        "vision_config": {"sam_config": _sam(sam), "encoder_config": _clip(clip)},
    }


def second(config: Mapping[str, Any]) -> dict[str, Any]:
    """For `DeepseekOcr2Config`, from its own form or from the one that was published with the model's own code."""
    if config.get("model_type") == _NATIVE_SECOND:
        return {key: value for key, value in config.items() if key not in _LEFT_OUT}
    text = _text(config)
    layers, dense = int(text.get("num_hidden_layers", 12)), int(text.get("first_k_dense_replace", 1))
    text["mlp_layer_types"] = ["dense" if at < dense else "sparse" for at in range(layers)]
    width = _section(_section(config, "vision_config"), "width")
    sam, encoder = _section(width, "sam_vit_b"), _section(width, "qwen2-0-5b")
    return {
        "text_config": text,
        "image_token_id": int(config.get("image_token_id", IMAGE_TOKEN)),
        "vision_config": {
            # The last number is the encoder's width, although the published config has another for the first model.
            "sam_config": {**_sam(sam), "downsample_channels": [512, int(encoder.get("dim", 896))]},
            "encoder_config": {
                "hidden_size": int(encoder.get("dim", 896)),
                "intermediate_size": 4864,
                "num_hidden_layers": 24,
                "num_attention_heads": 14,
                "num_key_value_heads": 2,
                "rms_norm_eps": 1e-6,
                "rope_theta": 1000000.0,
                "vocab_size": 1,
            },
        },
    }


def special(config: Mapping[str, Any]) -> tuple[int, frozenset[int], int]:
    """The tokens that begin a prompt, that end an answer, and that fill rows up."""
    text = {**_section(config, "text_config"), **_section(config, "language_config")}
    begin = _number(config, text, "bos_token_id", 0)
    ends = config.get("eos_token_id", text.get("eos_token_id"))
    several = ends if isinstance(ends, list) else [1 if ends is None else ends]
    pad = _number(config, text, "pad_token_id", 2)
    return begin, frozenset(int(one) for one in several), pad


def _number(config: Mapping[str, Any], text: Mapping[str, Any], name: str, default: int) -> int:
    value = config.get(name)
    value = text.get(name) if value is None else value
    return default if value is None else int(value)


def _text(config: Mapping[str, Any]) -> dict[str, Any]:
    """The language model's part, less what only the code published with the model reads."""
    section = _section(config, "language_config") or dict(config)
    known = (
        "attention_bias", "attention_dropout", "bos_token_id", "eos_token_id", "first_k_dense_replace", "hidden_act",
        "hidden_size", "initializer_range", "intermediate_size", "max_position_embeddings", "moe_intermediate_size",
        "n_group", "n_routed_experts", "n_shared_experts", "num_attention_heads", "num_experts_per_tok",
        "num_hidden_layers", "num_key_value_heads", "pad_token_id", "rms_norm_eps", "rope_theta",
        "routed_scaling_factor", "topk_group", "topk_method", "vocab_size",
    )  # fmt: skip
    return {key: section[key] for key in known if section.get(key) is not None}


def _sam(sam: Mapping[str, Any]) -> dict[str, Any]:
    width = int(sam.get("width", 768))
    return {
        "hidden_size": width,
        "mlp_dim": 4 * width,
        "num_hidden_layers": int(sam.get("layers", 12)),
        "num_attention_heads": int(sam.get("heads", 12)),
        "global_attn_indexes": list(sam.get("global_attn_indexes", (2, 5, 8, 11))),
        "downsample_channels": list(sam.get("downsample_channels", (512, 1024))),
        "output_channels": int(sam.get("out_channels", 256)),
    }


def _clip(clip: Mapping[str, Any]) -> dict[str, Any]:
    width = int(clip.get("width", 1024))
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": int(clip.get("layers", 24)),
        "num_attention_heads": int(clip.get("heads", 16)),
        "image_size": int(clip.get("image_size", 224)),
        "patch_size": int(clip.get("patch_size", 14)),
    }


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name)
    return dict(value) if isinstance(value, dict) else {}
