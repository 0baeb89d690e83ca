"""Write a tiny checkpoint of a common architecture with random weights. Run it where torch and Transformers are:

    python tinycheckpoints.py qwen2|gpt2|qwen2_vl FOLDER

qwen2 has a chat template, gpt2 has none, qwen2_vl takes pictures. What they say means nothing. A head is 64 wide, a size
that vLLM's kernels take.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
LINES = ("A lock file is good for builds that anyone can repeat.", "What colours are in this picture? Red and blue.")
VOCABULARY = 400
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 128, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 512,
}  # fmt: skip


def main() -> int:
    """Write config, weights, tokenizer and, with pictures, what prepares them."""
    import torch
    import transformers

    kind, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    token = {name: SPECIAL.index(name) for name in SPECIAL}
    ends = {"bos_token_id": None, "eos_token_id": token["<|endoftext|>"], "pad_token_id": token["<|endoftext|>"]}
    model: Any
    if kind == "qwen2":
        model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SIZES, **ends))
    elif kind == "gpt2":
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=VOCABULARY, n_embd=128, n_layer=2, n_head=2, n_positions=512, **ends)
        )
    else:
        model = transformers.Qwen2VLForConditionalGeneration(transformers.Qwen2VLConfig(
            text_config={**SIZES, **ends, "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12]}},
            vision_config={"depth": 2, "embed_dim": 128, "hidden_size": 128, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14},
            image_token_id=token["<|image_pad|>"], video_token_id=token["<|video_pad|>"],
            vision_start_token_id=token["<|vision_start|>"], vision_end_token_id=token["<|vision_end|>"],
        ))  # fmt: skip
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer(folder, chat=kind != "gpt2")
    if kind == "qwen2_vl":
        (folder / "preprocessor_config.json").write_text(json.dumps({
            "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor", "patch_size": 14,
            "temporal_patch_size": 2, "merge_size": 2, "min_pixels": 3136, "max_pixels": 50176,
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        }))  # fmt: skip
    return 0


def tokenizer(folder: Path, *, chat: bool) -> None:
    """A byte-level BPE with the special tokens in front."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(LINES, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    ))  # fmt: skip
    made.save(str(folder / "tokenizer.json"))
    said = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
        "model_max_length": 512, **({"chat_template": CHAT} if chat else {}),
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


if __name__ == "__main__":
    sys.exit(main())
