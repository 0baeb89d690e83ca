"""Measurements inside an environment of a vLLM preset, on a GPU. Each prints one JSON object as its last line.

python inside.py pages FOLDER N         N pages of text, as PNG in FOLDER and as FOLDER.pdf
python inside.py theirs FOLDER TOKENS   vLLM's own offline engine, as its recipe for the model has it
python inside.py ours FOLDER TOKENS     the backend of `ocr`, with and without its guard
python inside.py same FOLDER TOKENS     whether pages read together and one by one come out the same
python inside.py text FOLDER            a small text model of FOLDER's own making, with top-p, on vLLM's defaults
python inside.py serve FOLDER           from `vllm serve` by its recipe to its first answer
python inside.py fill SECONDS           take the GPU's free memory, all but little
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WORDS = [
    "The",
    "paper",
    "is",
    "made",
    "of",
    "fibres",
    "that",
    "were",
    "beaten",
    "in",
    "water",
    "and",
    "dried",
    "on",
    "a",
    "sieve",
    "of",
    "brass",
    "wire",
]


def pages(folder: Path, count: int) -> dict[str, Any]:
    """Pages like an A4 page at 144 dpi."""
    from PIL import Image, ImageDraw, ImageFont

    folder.mkdir(parents=True, exist_ok=True)
    font = ImageFont.load_default(28)
    made = []
    for number in range(count):
        page = Image.new("RGB", (1190, 1684), "white")
        pen = ImageDraw.Draw(page)
        for line in range(36):
            words = [WORDS[(number * 7 + line * 3 + at) % len(WORDS)] for at in range(11)]
            pen.text((80, 80 + 42 * line), f"{number}.{line} " + " ".join(words), font=font, fill="black")
        page.save(folder / f"{number:03d}.png")
        made.append(page)
    made[0].save(folder.with_suffix(".pdf"), save_all=True, append_images=made[1:], resolution=144)
    return {"pages": count}


def pictures(folder: Path) -> list[Any]:
    from PIL import Image

    return [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.png"))]


def theirs(folder: Path, tokens: int) -> dict[str, Any]:
    os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")
    from vllm import LLM, SamplingParams
    from vllm.model_executor.models.deepseek_ocr import NGramPerReqLogitsProcessor

    began = time.perf_counter()
    engine = LLM(
        model=os.environ["DEVENV_MODEL"], enable_prefix_caching=False, mm_processor_cache_gb=0, max_model_len=8192,
        logits_processors=[NGramPerReqLogitsProcessor],
    )  # fmt: skip
    loaded = time.perf_counter()
    prompt = "<image>\n<|grounding|>Convert the document to markdown."
    asked = [{"prompt": prompt, "multi_modal_data": {"image": one}} for one in pictures(folder)]
    guard = {"ngram_size": 40, "window_size": 90, "whitelist_token_ids": [128821, 128822]}
    told: dict[str, Any] = {"load": loaded - began}
    engine.generate(asked[:2], SamplingParams(temperature=0, max_tokens=8), use_tqdm=False)
    for name, extra in (("guard", guard), ("no_guard", None)) * 2:
        parameters = SamplingParams(
            temperature=0, max_tokens=tokens, min_tokens=tokens, skip_special_tokens=False, extra_args=extra
        )
        began = time.perf_counter()
        answers = engine.generate(asked, parameters, use_tqdm=False)
        seconds = time.perf_counter() - began
        made = sum(len(one.outputs[0].token_ids) for one in answers)
        told.setdefault(name, []).append({
            "seconds": seconds, "tokens": made, "tokens_per_s": made / seconds, "pages_per_s": len(asked) / seconds,
        })  # fmt: skip
    return told


class Given:
    """Pictures that are all there."""

    def __init__(self, pictures: list[Any]) -> None:
        self.left = list(enumerate(pictures))[::-1]

    @property
    def is_over(self) -> bool:
        return not self.left

    def take(self, *, wait: bool) -> tuple[int, Any] | None:
        del wait
        return self.left.pop() if self.left else None


def backend() -> tuple[Any, float]:
    from ocr.backends import Settings
    from ocr.backends.vllm import VllmBackend

    made = VllmBackend(Settings(model=Path(os.environ["DEVENV_MODEL"]), has_many=True))
    began = time.perf_counter()
    made.load(lambda text: print(text, file=sys.stderr, flush=True))
    return made, time.perf_counter() - began


def request(tokens: int, size: int = 40, window: int = 90) -> Any:
    from ocr import modes, prompts
    from ocr.engine import Request
    from ocr.guard import Guard

    return Request(
        prompt=prompts.prompt("markdown"), mode=modes.mode("gundam"), guard=Guard(size=size, window=window),
        max_tokens=tokens,
    )  # fmt: skip


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def read(engine: Any, images: list[Any], asked: Any, most: int) -> tuple[list[Any], float]:
    began = time.perf_counter()
    found = dict(engine.flow(Given(images), asked, most, say))
    return [found[number] for number in range(len(images))], time.perf_counter() - began


def ours(folder: Path, tokens: int) -> dict[str, Any]:
    engine, seconds = backend()
    images = pictures(folder)
    told: dict[str, Any] = {"load": seconds}
    read(engine, images[:2], request(16), 64)
    # Twice, so that what warms up on the way is not taken for the guard's price.
    for name, asked in (("guard", request(tokens)), ("no_guard", request(tokens, 0, 0))) * 2:
        answers, seconds = read(engine, images, asked, 64)
        made = sum(one.tokens for one in answers)
        told.setdefault(name, []).append({
            "seconds": seconds, "tokens": made, "tokens_per_s": made / seconds, "pages_per_s": len(images) / seconds,
        })  # fmt: skip
    engine.close()
    return told


def same(folder: Path, tokens: int) -> dict[str, Any]:
    engine, _ = backend()
    images = pictures(folder)[:8]
    together, seconds = read(engine, images, request(tokens), 8)
    again, _ = read(engine, images, request(tokens), 8)
    alone = [read(engine, [image], request(tokens), 1)[0][0] for image in images]
    twice = [read(engine, [image], request(tokens), 1)[0][0] for image in images[:4]]
    engine.close()

    def equal(ones: list[Any], others: list[Any]) -> int:
        return sum(one.raw == other.raw for one, other in zip(ones, others, strict=False))

    def prefix(one: Any, other: Any) -> int:
        pairs = zip(one.raw.split(), other.raw.split(), strict=False)
        return next((at for at, (left, right) in enumerate(pairs) if left != right), len(one.raw.split()))

    return {
        "together_again": equal(together, again), "together_alone": equal(together, alone),
        "alone_again": equal(alone[:4], twice), "of": 8, "seconds_together": seconds,
        "words_until_they_differ": [prefix(one, other) for one, other in zip(together, alone, strict=True)],
        "invariant": os.environ.get("VLLM_BATCH_INVARIANT"),
    }  # fmt: skip


def text_model(folder: Path) -> dict[str, Any]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=512, intermediate_size=1024, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=4,
        vocab_size=129_280, max_position_embeddings=2048, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return {}


def text(folder: Path) -> dict[str, Any]:
    import shutil

    # In a process of its own: PyTorch's threads, once used here, would hang the engine that is forked from this one.
    subprocess.run([sys.executable, __file__, "text-model", str(folder)], check=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(Path(os.environ["DEVENV_MODEL"]) / name, folder / name)
    from vllm import LLM, SamplingParams

    began = time.perf_counter()
    engine = LLM(model=str(folder), gpu_memory_utilization=0.5)
    loaded = time.perf_counter()
    parameters = SamplingParams(temperature=0.8, top_p=0.9, top_k=50, max_tokens=64, min_tokens=64)
    answers = engine.generate(["Paper is", "Once upon a time"] * 8, parameters, use_tqdm=False)
    made = [len(one.outputs[0].token_ids) for one in answers]
    assert made == [64] * 16, made
    distinct = len({tuple(one.outputs[0].token_ids) for one in answers})
    assert distinct > 1, "nothing was sampled"
    return {"load": loaded - began, "seconds": time.perf_counter() - loaded, "different": distinct}


def serve(folder: Path) -> dict[str, Any]:
    import base64
    import signal
    import urllib.error
    import urllib.request

    image = base64.b64encode(next(iter(sorted(folder.glob("*.png")))).read_bytes()).decode()
    body = json.dumps({
        "model": "m", "max_tokens": 8, "min_tokens": 8, "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}},
            {"type": "text", "text": "Free OCR."}]}],
    }).encode()  # fmt: skip
    began = time.perf_counter()
    server = subprocess.Popen(
        ["vllm", "serve", os.environ["DEVENV_MODEL"], "--served-model-name", "m", "--port", "8200", "--host",
         "127.0.0.1", "--logits-processors", "vllm.model_executor.models.deepseek_ocr:NGramPerReqLogitsProcessor",
         "--no-enable-prefix-caching", "--mm-processor-cache-gb", "0", "--max-model-len", "8192"],
        stdout=sys.stderr, env={**os.environ, "VLLM_USE_V2_MODEL_RUNNER": "0"},
    )  # fmt: skip
    ready = 0.0
    try:
        while True:
            try:
                urllib.request.urlopen("http://127.0.0.1:8200/health").read()
                ready = ready or time.perf_counter() - began
                asked = urllib.request.Request(
                    "http://127.0.0.1:8200/v1/chat/completions", body, {"Content-Type": "application/json"}
                )
                json.load(urllib.request.urlopen(asked))
                return {"ready": ready, "first_answer": time.perf_counter() - began}
            except urllib.error.HTTPError as error:
                raise SystemExit(error.read().decode()) from None
            except urllib.error.URLError:
                if server.poll() is not None:
                    raise SystemExit("the server ended") from None
                time.sleep(0.1)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def fill(seconds: float) -> dict[str, Any]:
    import torch

    free, _ = torch.cuda.mem_get_info()
    kept = torch.empty(max(0, free - 150_000_000), dtype=torch.uint8, device="cuda")
    print(f"took {kept.numel() / 1e9:.1f} GB", file=sys.stderr, flush=True)
    time.sleep(seconds)
    return {"took": kept.numel()}


def main() -> Any:
    name, *rest = sys.argv[1:]
    functions: dict[str, Any] = {
        "pages": pages,
        "theirs": theirs,
        "ours": ours,
        "same": same,
        "text": text,
        "text-model": text_model,
        "serve": serve,
    }
    if name == "fill":
        return fill(float(rest[0]))
    return functions[name](Path(rest[0]), *map(int, rest[1:]))


if __name__ == "__main__":
    told = main()
    sys.stdout.flush()
    print(json.dumps(told, default=float), flush=True)
