"""Write DeepSeek-OCR as it is published, but for the numbers: file names, tensor names, shapes and kinds are those of the
real model, the 3,336,106,240 parameters are random, and the vocabulary is made up (129,280 words, special ones at their
published places). What such a model says means nothing; how long it takes to load and to speak does.

    python fullmodel.py shapes FILE                        where Transformers 5.20 or newer is: names and shapes of its tensors
    python fullmodel.py make FOLDER --shapes FILE          the model; needs PyTorch, and a GPU with 8 GB or as much memory
    python fullmodel.py make FOLDER --shapes FILE --holes  the same with zeros for numbers, which take no disk

The tokenizer's file is made with `tokenizers`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

PARAMETERS = 3_336_106_240
VOCABULARY = 129_280
UNUSED = ("model.vision_model.embeddings.patch_embedding.weight", (1024, 3, 14, 14))
"""In the published file, but unused: CLIP gets its patches from SAM."""
SPECIAL = {
    "<｜begin▁of▁sentence｜>": 0, "<｜end▁of▁sentence｜>": 1, "<｜▁pad▁｜>": 2, "<image>": 128815, "<|ref|>": 128816,
    "<|/ref|>": 128817, "<|det|>": 128818, "<|/det|>": 128819, "<|grounding|>": 128820, "<td>": 128821, "</td>": 128822,
}  # fmt: skip
_CONVOLUTION = 4
"""Dimensions of a convolution's weight; an expert's, with all others of its layer, has 3."""
LANGUAGE = {
    "architectures": ["DeepseekV2ForCausalLM"], "bos_token_id": 0, "eos_token_id": 1, "first_k_dense_replace": 1,
    "hidden_size": 1280, "intermediate_size": 6848, "kv_lora_rank": None, "lm_head": True,
    "max_position_embeddings": 8192, "moe_intermediate_size": 896, "n_group": 1, "n_routed_experts": 64,
    "n_shared_experts": 2, "num_attention_heads": 10, "num_experts_per_tok": 6, "num_hidden_layers": 12,
    "num_key_value_heads": 10, "q_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 0,
    "rm_head": False, "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16", "use_mla": False,
    "v_head_dim": 0, "vocab_size": VOCABULARY,
}  # fmt: skip
CONFIG = {
    **LANGUAGE,  # stands at the top as well, but for the architecture
    "_name_or_path": "deepseek-ai/DeepSeek-OCR",
    "architectures": ["DeepseekOCRForCausalLM"],
    "candidate_resolutions": [[1024, 1024]],
    "global_view_pos": "head",
    "language_config": LANGUAGE,
    "model_type": "deepseek_vl_v2",
    "projector_config": {
        "input_dim": 2048, "model_type": "mlp_projector", "n_embed": 1280, "projector_type": "linear",
    },
    "tile_tag": "2D",
    "torch_dtype": "bfloat16",
    "vision_config": {
        "image_size": 1024, "mlp_ratio": 3.7362, "model_name": "deeplip_b_l", "model_type": "vision",
        "width": {
            "clip-l-14-224": {"heads": 16, "image_size": 224, "layers": 24, "patch_size": 14, "width": 1024},
            "sam_vit_b": {
                "downsample_channels": [512, 1024], "global_attn_indexes": [2, 5, 8, 11], "heads": 12, "layers": 12,
                "width": 768,
            },
        },
    },
}  # fmt: skip


def shapes() -> dict[str, list[int]]:
    """Names, as published, and shapes of all tensors, from Transformers' class with the published sizes."""
    import torch
    from transformers.core_model_loading import revert_weight_conversion
    from transformers.models.unlimited_ocr.configuration_unlimited_ocr import UnlimitedOcrConfig
    from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrForConditionalGeneration

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "presets/ocr"))
    from ocr.modelconfig import first

    with torch.device("meta"):
        made = UnlimitedOcrForConditionalGeneration(UnlimitedOcrConfig(**first(CONFIG)))
    tensors = revert_weight_conversion(made, made.state_dict())
    found = {name: list(one.shape) for name, one in tensors.items()} | {UNUSED[0]: list(UNUSED[1])}
    count = sum(math.prod(shape) for shape in found.values())
    if count != PARAMETERS:
        raise SystemExit(f"{count} parameters, the published model has {PARAMETERS}")
    return found


def tensors(found: dict[str, list[int]], device: str) -> dict[str, object]:
    """Random weights under which the model's output depends on the picture."""
    import torch

    torch.manual_seed(0)
    made: dict[str, object] = {}
    for name, shape in found.items():
        one = torch.empty(shape, device=device, dtype=torch.bfloat16)
        if len(shape) > 1:  # by what each number is summed over, so that a picture is not lost on the way
            one.normal_(0, (math.prod(shape[1:]) if len(shape) == _CONVOLUTION else shape[-1]) ** -0.5)
        else:
            one.normal_(float(name.endswith("weight")), 0.02)  # norms, biases
        made[name] = one
    return made


def save_holes(found: dict[str, list[int]], path: Path) -> None:
    """A safetensors file of zeros, as a file with a hole: its header, and its size."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in found.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def tokenizer(folder: Path) -> None:
    """Single bytes, filler words up to the published size, and the special words where they belong."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    taken = set(SPECIAL.values())
    letters = iter(sorted(pre_tokenizers.ByteLevel.alphabet()))
    words = dict(SPECIAL)
    for number in range(VOCABULARY):
        if number not in taken:
            words[next(letters, None) or f"Ġfiller{number:06d}word"] = number
    made = Tokenizer(models.BPE(vocab=words, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    made.save(str(folder / "tokenizer.json"))


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("shapes")
    one.add_argument("file", type=Path)
    one = commands.add_parser("make")
    one.add_argument("folder", type=Path)
    one.add_argument("--shapes", type=Path, required=True)
    one.add_argument("--holes", action="store_true")
    options = parser.parse_args()
    if options.command == "shapes":
        options.file.write_text(json.dumps(shapes()))
        return 0
    make(options.folder, json.loads(options.shapes.read_text()), holes=options.holes)
    return 0


def make(folder: Path, found: dict[str, list[int]], *, holes: bool) -> None:
    """Write the model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "model-00001-of-000001.safetensors"
    if holes:
        save_holes(found, folder / name)
    else:
        import torch
        from safetensors.torch import save_file

        save_file(
            tensors(found, "cuda" if torch.cuda.is_available() else "cpu"), folder / name, metadata={"format": "pt"}
        )
    (folder / name).chmod(0o644)  # a container's user reads it
    size = (folder / name).stat().st_size
    weight_map = dict.fromkeys(sorted(found), name)
    write(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": weight_map})
    write(folder / "config.json", CONFIG)
    begin, end, pad = list(SPECIAL)[:3]
    said = {"bos_token": begin, "eos_token": end, "pad_token": pad}
    write(folder / "tokenizer_config.json", {**said, "tokenizer_class": "LlamaTokenizerFast", "model_max_length": 8192})
    write(folder / "special_tokens_map.json", said)
    write(folder / "processor_config.json", {"image_token": "<image>", "patch_size": 16, "downsample_ratio": 4})
    tokenizer(folder)
    print(json.dumps({"parameters": PARAMETERS, "tensors": len(found), "bytes": size}))


if __name__ == "__main__":
    sys.exit(main())
