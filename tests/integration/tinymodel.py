"""Write a tiny DeepSeek-OCR checkpoint with random weights: the file names, config and tensor names of the published
one, small enough for a processor. Run it where torch and Transformers are:

    python tinymodel.py first|second FOLDER

`first` is DeepSeek-OCR, `second` DeepSeek-OCR-2. Its output is meaningless, so it is for tests of the plumbing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SPECIAL = (
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<image>", "<|ref|>", "<|/ref|>", "<|det|>",
    "<|/det|>", "<|grounding|>", "<td>", "</td>", "<tr>", "</tr>",
)  # fmt: skip
LINES = (
    "Convert the document to markdown. OCR this image. Free OCR. Parse the figure.",
    "Describe this image in detail. Locate the total in the image.",
    "INVOICE No. 2025-0417 Northwind Paper Company 48 Harbour Street 12 boxes of copy paper A4 80 g",
)
VOCABULARY = 512
SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2,
    "moe_intermediate_size": 16, "first_k_dense_replace": 1, "max_position_embeddings": 8192, "topk_method": "greedy",
    "n_group": 1, "topk_group": 1, "vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 1,
    "routed_scaling_factor": 1.0, "rms_norm_eps": 1e-6, "hidden_act": "silu",
}  # fmt: skip
SAM = {
    "width": 32, "layers": 2, "heads": 2, "global_attn_indexes": [1], "downsample_channels": [24, 32], "out_channels": 16,
}  # fmt: skip
CLIP = {"width": 32, "layers": 1, "heads": 2, "image_size": 224, "patch_size": 14}


def tokenizer(folder: Path) -> None:
    """A byte-level BPE with the special tokens in front."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(LINES, trainer)
    made.save(str(folder / "tokenizer.json"))
    begin, end, pad = SPECIAL[:3]
    said = {"bos_token": begin, "eos_token": end, "pad_token": pad}
    write(folder / "tokenizer_config.json", {**said, "tokenizer_class": "LlamaTokenizerFast", "model_max_length": 8192})
    write(folder / "special_tokens_map.json", said)


def first(folder: Path) -> None:
    """DeepSeek-OCR: the config as it was published, and Transformers' class that has its layers."""
    from transformers.models.unlimited_ocr.configuration_unlimited_ocr import UnlimitedOcrConfig
    from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrForConditionalGeneration

    config = UnlimitedOcrConfig(
        text_config={**SIZES, "layer_types": ["full_attention"] * 2, "sliding_window": 128},
        image_token_id=SPECIAL.index("<image>"),
        vision_config={
            "sam_config": {
                "hidden_size": 32, "mlp_dim": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
                "global_attn_indexes": [1], "downsample_channels": [24, 32], "output_channels": 16,
                "initializer_range": 0.02,
            },
            "encoder_config": {
                "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
            },
        },
    )  # fmt: skip
    save(UnlimitedOcrForConditionalGeneration(config), folder)
    published = {
        "_name_or_path": "deepseek-ai/DeepSeek-OCR",
        "architectures": ["DeepseekOCRForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_deepseekocr.DeepseekOCRConfig",
            "AutoModel": "modeling_deepseekocr.DeepseekOCRForCausalLM",
        },
        "candidate_resolutions": [[1024, 1024]],
        "global_view_pos": "head",
        "language_config": {**SIZES, "architectures": ["DeepseekV2ForCausalLM"], "use_mla": False, "torch_dtype": "bfloat16"},
        "model_type": "deepseek_vl_v2",
        "projector_config": {"input_dim": 64, "model_type": "mlp_projector", "n_embed": 32, "projector_type": "linear"},
        "tile_tag": "2D",
        "torch_dtype": "bfloat16",
        "vision_config": {
            "image_size": 1024, "mlp_ratio": 3.7362, "model_name": "deeplip_b_l", "model_type": "vision",
            "width": {"clip-l-14-224": CLIP, "sam_vit_b": SAM},
        },
        "image_token_id": SPECIAL.index("<image>"),
        **SIZES,
    }  # fmt: skip
    write(folder / "config.json", published)
    write(folder / "processor_config.json", {"image_token": "<image>", "patch_size": 16, "downsample_ratio": 4})


def second(folder: Path) -> None:
    """DeepSeek-OCR-2, in Transformers' own form."""
    from transformers.models.deepseek_ocr2.configuration_deepseek_ocr2 import DeepseekOcr2Config
    from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2ForConditionalGeneration

    sizes = {key: value for key, value in SIZES.items() if key != "first_k_dense_replace"}
    config = DeepseekOcr2Config(
        text_config={**sizes, "mlp_layer_types": ["dense", "sparse"], "pad_token_id": 2},
        image_token_id=SPECIAL.index("<image>"),
        vision_config={
            "sam_config": {
                "hidden_size": 32, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                "global_attn_indexes": [1], "mlp_ratio": 2.0, "downsample_channels": [24, 32],
                "initializer_range": 0.02,
            },
            "encoder_config": {
                "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
                "num_key_value_heads": 1, "max_position_embeddings": 2048, "vocab_size": 32,
            },
        },
    )  # fmt: skip
    save(DeepseekOcr2ForConditionalGeneration(config), folder)


def save(model: object, folder: Path) -> None:
    """The weights as bfloat16 under the published names, with an index."""
    import torch
    from safetensors import safe_open

    model.to(torch.bfloat16).save_pretrained(folder)  # type: ignore[attr-defined]
    name = "model-00001-of-000001.safetensors"
    (folder / "model.safetensors").rename(folder / name)
    (folder / "generation_config.json").unlink(missing_ok=True)
    with safe_open(folder / name, "pt") as file:
        names = sorted(file.keys())
    size = (folder / name).stat().st_size
    write(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": size}, "weight_map": dict.fromkeys(names, name)},
    )


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    import torch

    which, folder = sys.argv[1], Path(sys.argv[2])
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    {"first": first, "second": second}[which](folder)
    tokenizer(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
