"""What is known of a model without torch: its folder, its config, its tensors' names, what it sees of a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ocr import backends, modelconfig, modes, views, weightnames
from ocr.backends import Settings
from ocr.backends.weights import stored
from ocr.checkpoint import Checkpoint
from ocr.errors import BackendError, UsageError
from ocr.weightnames import Piece
from PIL import Image

PUBLISHED: dict[str, Any] = {
    "architectures": ["DeepseekOCRForCausalLM"],
    "auto_map": {"AutoModel": "modeling_deepseekocr.DeepseekOCRForCausalLM"},
    "model_type": "deepseek_vl_v2",
    "bos_token_id": 0,
    "eos_token_id": 1,
    "language_config": {"hidden_size": 1280, "num_hidden_layers": 12, "first_k_dense_replace": 1, "use_mla": False, "lm_head": True},
    "vision_config": {
        "width": {
            "clip-l-14-224": {"heads": 16, "image_size": 224, "layers": 24, "patch_size": 14, "width": 1024},
            "sam_vit_b": {"downsample_channels": [512, 1024], "global_attn_indexes": [2, 5, 8, 11], "heads": 12, "layers": 12, "width": 768},
        }
    },
}  # fmt: skip


def checkpoint(folder: Path, config: dict[str, Any] = PUBLISHED) -> Path:
    """A model folder with one small tensor."""
    folder.mkdir(exist_ok=True)
    name = "model-00001-of-000001.safetensors"
    header = json.dumps(
        {"__metadata__": {"format": "pt"}, "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}
    )
    padded = header + " " * (-len(header) % 8)
    (folder / name).write_bytes(len(padded).to_bytes(8, "little") + padded.encode() + bytes(12))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    added = [{"id": 128821, "content": "<td>"}, {"id": 128822, "content": "</td>"}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    return folder


def test_a_complete_folder(tmp_path: Path) -> None:
    found = Checkpoint.read(checkpoint(tmp_path / "m"))
    assert [path.name for path in found.shards] == ["model-00001-of-000001.safetensors"]
    assert found.kept_tokens(["<td>", "</td>", "<th>"]) == [128821, 128822]
    assert not found.is_second
    (tensor,) = stored(found.shards)
    assert (tensor.name, tensor.kind, tensor.shape, tensor.size) == ("a", "BF16", (2, 3), 12)
    assert tensor.start + tensor.size == found.size_bytes


@pytest.mark.parametrize(
    "missing", ["config.json", "tokenizer.json", "model-00001-of-000001.safetensors", "model.safetensors.index.json"]
)
def test_a_folder_that_lacks_a_file(tmp_path: Path, missing: str) -> None:
    (checkpoint(tmp_path / "m") / missing).unlink()
    with pytest.raises(BackendError, match="incomplete") as caught:
        Checkpoint.read(tmp_path / "m")
    assert "devenv prefetch" in str(caught.value.hint)


@pytest.mark.parametrize("size", [0, 5, 60, -1])
def test_weights_that_are_cut_off(tmp_path: Path, size: int) -> None:
    path = checkpoint(tmp_path / "m") / "model-00001-of-000001.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BackendError, match="is cut off or broken"):
        Checkpoint.read(tmp_path / "m")


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="there is no model folder"):
        Checkpoint.read(tmp_path / "none")
    with pytest.raises(BackendError, match="needs a model"):
        backends.make("transformers", Settings())


@pytest.mark.parametrize(("given", "said"), [(None, "no backend is chosen"), ("x", "no backend 'x'")])
def test_a_backend_has_to_be_chosen(given: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        backends.chosen(given, {})
    assert backends.chosen(None, {"OCR_BACKEND": "vllm"}) == "vllm"
    assert backends.chosen("rapidocr", {"OCR_BACKEND": "vllm"}) == "rapidocr"


def test_the_published_config_in_transformers_words() -> None:
    made = modelconfig.first(PUBLISHED)
    assert made["text_config"]["layer_types"] == ["full_attention"] * 12
    assert made["text_config"]["sliding_window"] is not None
    assert "use_mla" not in made["text_config"]
    assert made["image_token_id"] == 128815
    assert made["vision_config"]["sam_config"]["mlp_dim"] == 3072
    assert made["vision_config"]["encoder_config"]["intermediate_size"] == 4096
    assert modelconfig.special(PUBLISHED) == (0, frozenset({1}), 2)


def test_a_native_config_is_taken_as_it_is() -> None:
    native = {
        "model_type": "deepseek_ocr2",
        "text_config": {"eos_token_id": [1, 5], "pad_token_id": 7},
        "dtype": "bfloat16",
    }
    assert modelconfig.second(native) == {"text_config": native["text_config"]}
    assert modelconfig.special(native) == (0, frozenset({1, 5}), 7)


@pytest.mark.parametrize(
    ("config", "is_second"),
    [
        ({"model_type": "deepseek_ocr2"}, True),
        ({"model_type": "deepseek_vl_v2", "architectures": ["DeepseekOCR2ForCausalLM"]}, True),
        ({"model_type": "unlimited_ocr"}, False),
        ({}, False),
    ],
)
def test_which_of_the_two_it_is(tmp_path: Path, config: dict[str, Any], *, is_second: bool) -> None:
    assert Checkpoint.read(checkpoint(tmp_path / "m", config)).is_second is is_second


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("lm_head.weight", "lm_head.weight"),
        ("model.embed_tokens.weight", "model.language_model.embed_tokens.weight"),
        ("model.norm.weight", "model.language_model.norm.weight"),
        ("model.layers.3.mlp.gate.weight", "model.language_model.layers.3.mlp.gate.weight"),
        ("model.layers.3.mlp.shared_experts.up_proj.weight", "model.language_model.layers.3.mlp.shared_experts.up_proj.weight"),
        ("model.view_seperator", "model.view_separator"),
        ("model.projector.layers.bias", "model.multi_modal_projector.bias"),
        ("model.sam_model.blocks.7.norm1.bias", "model.vision_tower.sam_encoder.layers.7.layer_norm1.bias"),
        ("model.sam_model.neck.3.weight", "model.vision_tower.sam_encoder.neck.layer_norm2.weight"),
        ("model.sam_model.net_2.weight", "model.vision_tower.sam_encoder.proj.conv1.weight"),
        ("model.vision_model.pre_layrnorm.bias", "model.vision_tower.vision_encoder.pre_layrnorm.bias"),
        ("model.qwen2_model.model.model.layers.0.mlp.up_proj.weight", "model.vision_tower.vision_encoder.layers.0.mlp.up_proj.weight"),
        ("model.qwen2_model.query_768.weight", "model.vision_tower.query_768_resolution.weight"),
        ("model.language_model.norm.weight", "model.language_model.norm.weight"),
    ],
)  # fmt: skip
def test_where_a_tensor_belongs(name: str, parameter: str) -> None:
    assert weightnames.pieces(name) == (Piece(parameter=parameter),)


def test_experts_are_stacked_and_queries_keys_and_values_parted() -> None:
    experts = "model.language_model.layers.1.mlp.experts"
    assert weightnames.pieces("model.layers.1.mlp.experts.42.gate_proj.weight") == (
        Piece(parameter=f"{experts}.gate_up_proj", row=42, half=0),
    )
    assert weightnames.pieces("model.layers.1.mlp.experts.42.up_proj.weight")[0].half == 1
    assert weightnames.pieces("model.layers.1.mlp.experts.42.down_proj.weight") == (
        Piece(parameter=f"{experts}.down_proj", row=42),
    )
    parts = weightnames.pieces("model.vision_model.transformer.layers.5.self_attn.qkv_proj.bias")
    attention = "model.vision_tower.vision_encoder.encoder.layers.5.self_attn"
    assert [(one.parameter, one.part, one.parts) for one in parts] == [
        (f"{attention}.q_proj.bias", 0, 3), (f"{attention}.k_proj.bias", 1, 3), (f"{attention}.v_proj.bias", 2, 3),
    ]  # fmt: skip


def _seen(mode: str, size: tuple[int, int], *, second: bool = False) -> views.Views:
    return views.views(Image.new("RGB", size, "black"), views.sizes(modes.mode(mode), second=second))


@pytest.mark.parametrize(
    ("mode", "size", "tokens"),
    [
        # Each row of the picture's tokens ends with one more, and one parts the views: n·(n+1)+1.
        ("tiny", (1000, 640), 8 * 9 + 1),
        ("small", (1000, 640), 10 * 11 + 1),
        ("base", (1000, 640), 16 * 17 + 1),
        ("large", (1000, 640), 20 * 21 + 1),
        ("gundam", (600, 640), 16 * 17 + 1),
        ("gundam", (1200, 600), 16 * 17 + 1 + 10 * (2 * 10 + 1)),
        ("gundam", (1240, 1754), 16 * 17 + 1 + 30 * (2 * 10 + 1)),
    ],
)
def test_tokens_for_a_picture(mode: str, size: tuple[int, int], tokens: int) -> None:
    assert views.tokens(_seen(mode, size), second=False) == tokens


@pytest.mark.parametrize(
    ("mode", "size", "tokens"),
    [
        ("tiny", (1000, 640), 145),
        ("base", (1000, 640), 257),
        ("gundam", (700, 700), 257),
        ("gundam", (1600, 800), 257 + 288),
    ],
)
def test_tokens_for_a_picture_of_the_second_model(mode: str, size: tuple[int, int], tokens: int) -> None:
    assert views.tokens(_seen(mode, size, second=True), second=True) == tokens


def test_tiles_cover_the_picture_row_by_row() -> None:
    image = Image.new("RGB", (1280, 640), "red")
    image.paste((0, 0, 255), (640, 0, 1280, 640))
    seen = views.views(image, views.sizes(modes.mode("gundam"), second=False))
    assert (seen.grid, [tile.size for tile in seen.tiles]) == ((2, 1), [(640, 640)] * 2)
    assert [tile.getpixel((320, 320)) for tile in seen.tiles] == [(255, 0, 0), (0, 0, 255)]
    # The whole is padded with grey above and below, not made square by force.
    assert (seen.whole.size, seen.whole.getpixel((512, 10))) == ((1024, 1024), (127, 127, 127))


@pytest.mark.parametrize(
    ("size", "grid"), [((1000, 1000), (2, 2)), ((700, 700), (1, 1)), ((3000, 500), (6, 1)), ((500, 3000), (1, 6)), ((1000, 1500), (2, 3))]
)  # fmt: skip
def test_the_grid_has_the_shape_of_the_picture(size: tuple[int, int], grid: tuple[int, int]) -> None:
    found = views.best_grid(size, 640)
    assert found == grid or (grid == (1, 1) and found == (2, 2))
