"""vLLM's engine for DeepSeek-OCR: how large it is made, what it is started with, and its pages step by step.

It uses what is known of this model beforehand, so it starts sooner than `vllm serve`: the size of the cache is given in
bytes instead of measured, only decoding is captured in CUDA graphs, Inductor compiles nothing, and no part is used that
needs a CUDA compiler at run time."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr.checkpoint import Checkpoint
from ocr.errors import MemoryFullError, UsageError
from ocr.memory import gpu

if TYPE_CHECKING:
    from PIL.Image import Image

GUARD = "ocr.backends.vllm_guard:RepetitionGuard"
CONTEXT = 8192
FEW, MANY = 4, 64
"""Pages at once: for one picture and in notebooks; for folders, PDFs and servers."""
_BESIDE = 4_000_000_000
"""Bytes of the GPU beside weights and cache: activations (the largest picture, 16,384 tokens), graphs, CUDA itself."""
MEMORY_HINT = "stop what else uses it (nvidia-smi), or use a GPU with more"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """An engine's. `share`: of the GPU's memory, all in all."""

    pages: int
    cache_bytes: int
    share: float


def size(checkpoint: Checkpoint, pages: int) -> Size:
    """As large as `pages` at once need, or as the GPU's memory allows. Raises MemoryFullError where not even one page
    has room, UsageError."""
    allowed = _share()
    page = CONTEXT * token_bytes(checkpoint.config)
    fixed = checkpoint.size_bytes + _BESIDE
    device = gpu()
    if device is None or device.memory is None:
        return Size(pages=pages, cache_bytes=min(pages, FEW) * page, share=allowed)
    free, total = device.memory.free_mb * 1e6, device.memory.total_mb * 1e6
    room = min(allowed * total, free if device.is_whole else total) - fixed
    if room < page:
        raise MemoryFullError(
            f"the GPU has not enough memory: {free / 1e9:.1f} of {total / 1e9:.1f} GB are free, and vLLM needs "
            f"{(fixed + page) / 1e9:.1f} GB"
            + (f" of the {allowed:.0%} that OCR_GPU_SHARE allows" if allowed * total < free else ""),
            hint=MEMORY_HINT,
        )
    cache = int(min(room, pages * page))
    # vLLM only compares this with what is free by then, less CUDA's own part: the cache is given in bytes.
    return Size(pages=pages, cache_bytes=cache, share=max(0.01, math.floor(900 * (fixed + cache) / total) / 1000))


def token_bytes(config: Mapping[str, Any]) -> int:
    """Bytes that one token takes in the cache: keys and values of all layers, in bfloat16."""
    language = _language(config)
    return 2 * 2 * language["num_hidden_layers"] * language["num_key_value_heads"] * head_width(config)


def head_width(config: Mapping[str, Any]) -> int:
    """Numbers in one head of attention."""
    language = _language(config)
    return language["hidden_size"] // language["num_attention_heads"]


def _language(config: Mapping[str, Any]) -> dict[str, int]:
    """Sizes of the language model; DeepSeek-OCR's where the config lacks them."""
    told = config.get("language_config")
    sizes = {"num_attention_heads": 10, "num_key_value_heads": 10, "hidden_size": 1280, "num_hidden_layers": 12}
    for name in sizes:
        value = told.get(name) if isinstance(told, Mapping) else None
        if isinstance(value, int) and value > 0:
            sizes[name] = value
    return sizes


def arguments(folder: Path, size: Size, config: Mapping[str, Any]) -> dict[str, Any]:
    """Those of vLLM's EngineArgs; `flags` has them for `vllm serve`. Raises UsageError."""
    made = {
        "model": str(folder),
        # Transformers 4 takes it from a number that is 0 here. vLLM's attention then divides by it.
        "hf_overrides": {"text_config": {"head_dim": head_width(config)}},
        "enable_prefix_caching": False,
        "mm_processor_cache_gb": 0,
        "logits_processors": [GUARD],
        "max_model_len": CONTEXT,
        "max_num_seqs": size.pages,
        "max_num_batched_tokens": CONTEXT if size.pages <= FEW else 2 * CONTEXT,
        "gpu_memory_utilization": size.share,
        "kv_cache_memory_bytes": size.cache_bytes,
        "skip_mm_profiling": True,
        "limit_mm_per_prompt": {"image": 1},
        "compilation_config": {
            "mode": 0,
            "cudagraph_mode": "FULL_DECODE_ONLY",
            "cudagraph_capture_sizes": graphs(size.pages),
        },
        "kernel_config": {"moe_backend": "triton", "enable_flashinfer_autotune": False},
        "attention_config": _attention(),
    }
    return {name: value for name, value in (made | _options()).items() if value is not None}


def _options() -> dict[str, Any]:
    """The user's own arguments: OCR_VLLM_OPTIONS, a JSON object; null keeps vLLM's default."""
    text = os.environ.get("OCR_VLLM_OPTIONS") or "{}"
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise UsageError(
            f"OCR_VLLM_OPTIONS is no JSON object: {text[:80]}", hint='such as {"max_num_seqs": 8, "dtype": null}'
        )
    return options


def graphs(pages: int) -> list[int]:
    """The numbers of pages for which decoding is captured: each takes a moment at the start."""
    return sorted({one for one in (1, 2, 4, *range(8, pages, 8)) if one < pages} | {pages})


def _attention() -> dict[str, Any]:
    """The attention that vLLM's wheel has compiled: vLLM's choice for compute capability 10 compiles at run time."""
    device = gpu()
    is_blackwell = device is not None and device.capability is not None and device.capability[0] == 10
    return {"backend": "FLASH_ATTN", **({"flash_attn_version": 2} if is_blackwell else {})}


def flags(given: Mapping[str, Any]) -> list[str]:
    """Arguments as options of `vllm serve`."""
    made: list[str] = []
    for name, value in given.items():
        option = name.replace("_", "-")
        if name == "model":
            continue
        if isinstance(value, bool):
            made.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, list):
            made += [f"--{option}", *map(str, value)]
        else:
            made += [f"--{option}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return made


def _share() -> float:
    """How much of the GPU's memory the engine may take."""
    text = os.environ.get("OCR_GPU_SHARE", "0.9")
    try:
        share = float(text)
    except ValueError:
        share = 0
    if not 0.05 <= share <= 1:
        raise UsageError(f"OCR_GPU_SHARE is {json.dumps(text)}", hint="a number from 0.05 to 1")
    return share


class Engine:
    """A started one. Its methods raise whatever vLLM raises."""

    def __init__(self, checkpoint: Checkpoint, size: Size, errors: Overheard) -> None:
        from vllm.config.kernel import KernelConfig
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        self.size = size
        self.errors = errors
        with stdout_aside(), self.errors:
            given = arguments(checkpoint.folder, size, checkpoint.config)
            if "enable_jit_warmup" in KernelConfig.__dataclass_fields__:  # this model registers nothing for it
                given["kernel_config"] = {"enable_jit_warmup": False} | given.get("kernel_config", {})
            config = EngineArgs(**given).create_engine_config()
            _share_the_tokenizer(config.model_config)
            self._engine = LLMEngine.from_vllm_config(config, disable_log_stats=True)
        self._count = 0

    def prepare(self, picture: Image, text: str) -> Any:
        """A question about a picture, as the engine takes it. Much of the work for a page; in any thread."""
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        renderer = self._engine.renderer
        asked = {"prompt": text, "multi_modal_data": {"image": picture}}
        parsed = [parse_model_prompt(self._engine.model_config, asked)]
        (prompt,) = renderer.render_cmpl(parsed, renderer.default_cmpl_tok_params)
        return prompt

    def add(self, prompt: Any, parameters: Any) -> str:
        """Ask; the request's name."""
        self._count += 1
        name = str(self._count)
        self._engine.add_request(name, prompt, parameters.clone())
        return name

    def step(self) -> Sequence[Any]:
        """Run a step, or wait for one; returns its results. Raises RuntimeError when there is nothing to do."""
        if not self._engine.has_unfinished_requests():
            raise RuntimeError("the engine lost a request")
        with stdout_aside():
            return list(self._engine.step())

    def forget(self, names: Sequence[str]) -> None:
        """Leave requests unanswered."""
        with contextlib.suppress(Exception):  # of an engine that ended
            self._engine.abort_request(list(names))

    def close(self) -> None:
        """End the engine's processes. Otherwise Python may wait for them for ever: `multiprocessing` does at the exit,
        and vLLM tells them in a finalizer, which comes later when somebody, as pypdfium2 does, had one first."""
        with contextlib.suppress(Exception), stdout_aside():  # what was read is read; ended ones cannot be ended
            self._engine.engine_core.shutdown()


def _share_the_tokenizer(model_config: Any) -> None:
    """Have vLLM's processor of pictures take the tokenizer that vLLM has loaded: otherwise it loads it twice more, and
    copies it as often, for seconds. Where Transformers goes another way about it, nothing changes."""
    from vllm.tokenizers.registry import cached_tokenizer_from_config
    from vllm.transformers_utils.processors.deepseek_ocr import DeepseekOCRProcessor

    loads = "_load_tokenizer_from_pretrained"
    if not hasattr(DeepseekOCRProcessor, loads):
        return
    tokenizer = cached_tokenizer_from_config(model_config)
    made = DeepseekOCRProcessor.from_pretrained.__func__

    def from_pretrained(cls: type, folder: Any, *more: Any, **options: Any) -> Any:
        return made(cls, folder, *more, **{name: option for name, option in options.items() if name != "tokenizer"})

    setattr(DeepseekOCRProcessor, loads, lambda *_, **__: tokenizer)
    DeepseekOCRProcessor.from_pretrained = classmethod(from_pretrained)


@contextlib.contextmanager
def stdout_aside() -> Iterator[None]:
    """What this process, native libraries among it, and those that it starts meanwhile print to stdout goes to stderr:
    Gloo's lines would stand before the text, or in the JSON."""
    with contextlib.suppress(OSError):  # the reader has ended: the write reports that
        sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


class Overheard:
    """Passes on what processes that are started meanwhile write to stderr, as long as they live, and notices when the
    GPU's memory was full: their parent only sees that they ended."""

    def __init__(self) -> None:
        self.memory_was_full = False
        self._kept = -1
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        self._kept = os.dup(2)
        read, write = os.pipe()
        os.dup2(write, 2)
        os.close(write)
        self._thread = threading.Thread(target=self._pass_on, args=(read, os.dup(self._kept)), daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        os.dup2(self._kept, 2)
        os.close(self._kept)

    def wait(self) -> None:
        """Until the processes have ended, so that all is heard; not for ever."""
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _pass_on(self, read: int, write: int) -> None:
        before = b""
        with contextlib.suppress(OSError):
            while piece := os.read(read, 65536):
                if b"out of memory" in (before + piece).lower():
                    self.memory_was_full = True
                before = piece[-16:]
                os.write(write, piece)
        os.close(read)
        os.close(write)
