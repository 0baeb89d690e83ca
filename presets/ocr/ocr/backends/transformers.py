"""Transformers' own classes for DeepSeek-OCR and DeepSeek-OCR-2, on a GPU or on the processor. No code of the model's
folder is run: its config, its tokenizer and its weights are data."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ocr.backends import Settings
from ocr.checkpoint import Checkpoint
from ocr.engine import Facts, Logits, Reading, Request, Say
from ocr.errors import BackendError, MemoryFullError, UsageError, explained
from ocr.guard import KEPT_TOKENS
from ocr.memory import available_mb, fast_bfloat16, give_back, has_gpu, peak_rss_mb, wake_gpu
from ocr.modelconfig import first, second, special
from ocr.views import Views, sizes, tokens, views

if TYPE_CHECKING:
    from PIL.Image import Image

_CONTEXT = 8192
_GPU_BATCH = 8
_FULL = re.compile("out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


class TransformersBackend:
    """One model in this process."""

    name = "transformers"
    streams = True

    def __init__(self, settings: Settings) -> None:
        assert settings.model is not None
        self._checkpoint = Checkpoint.read(settings.model)
        self.model = self._checkpoint.title
        self._second = self._checkpoint.is_second
        self._threads = settings.threads
        self.concurrency = _GPU_BATCH if os.environ.get("OCR_DEVICE") != "cpu" and has_gpu() else 1
        self._model: Any = None
        self._tokenizer: Any = None
        self._was_full = False

    def check(self, request: Request) -> None:
        """It can do everything."""

    def load(self, say: Say) -> Facts:
        """Bring the model to the device: classes, an empty model, its weights, its tokenizer."""
        try:
            return self._load(say)
        except ImportError as error:
            raise BackendError(f"cannot import {error.name}: {error}", hint="use a preset with Transformers") from None
        except Exception as error:
            if is_full(error):
                raise _full(error) from None
            # Such as a driver that is too old, or a GPU for which this PyTorch has no kernels.
            raise explained(
                error, "the model cannot be loaded", BackendError, "devenv doctor looks at driver and GPU"
            ) from error

    def _load(self, say: Say) -> Facts:
        from ocr.warming import Warming

        threads = max(1, min(16, len(os.sched_getaffinity(0))))
        clock = _Clock(say)
        wake_gpu()
        warming = Warming(self._checkpoint.shards)
        try:
            import torch

            torch.backends.cuda.enable_cudnn_sdp(False)  # it makes a new plan for every length of the growing cache
            clock.stage("import_torch", f"torch {torch.__version__} imported")
            model_class, config = self._classes()
            clock.stage("import_transformers", "Transformers' classes imported")
            device, kind = _place(self._checkpoint.size_bytes)
            model = _empty(model_class, config, device, kind)
            clock.stage("init", f"{model_class.__name__} laid out on {device} as {kind}")
        finally:
            warming.stop()
        from ocr.backends import weights

        size = weights.load(model, self._checkpoint.shards, threads=threads, say=say)
        seconds = clock.stage("load", f"{size / 1e9:.2f} GB of weights loaded")
        self._model = model
        self._tokenizer = _tokenizer(self._checkpoint)
        clock.stage("tokenizer", "tokenizer loaded")
        return Facts(
            backend=self.name,
            model=self.model,
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            stages=clock.stages,
            notes={
                "load_gb": round(size / 1e9, 3),
                "load_gb_per_s": round(size / 1e9 / seconds, 2),
                "dtype": str(kind).removeprefix("torch."),
            },
        )

    def read(
        self, pictures: Sequence[Image], request: Request, on_text: Callable[[str], None] | None = None
    ) -> Sequence[Reading]:
        """Read pictures, all in one batch."""
        import torch

        try:
            with torch.inference_mode():
                readings = self._read(pictures, request, on_text)
        except Exception as error:
            if not is_full(error):
                if self._was_full and str(error).startswith("CUDA error"):
                    raise BackendError(
                        "the GPU ran out of memory, and its driver does not recover from it",
                        hint="stop what else uses the GPU (nvidia-smi), then again with --resume",
                    ) from None
                raise
            failure, self._was_full = _full(error), True
        else:
            self._was_full = False
            return readings
        if self._model.device.type == "cuda":
            give_back()
        raise failure

    def peak_memory_mb(self) -> tuple[float, Literal["GPU", "RSS"]]:
        """What torch reserved on the GPU, or the process's own."""
        import torch

        if self._model is not None and self._model.device.type == "cuda":
            return round(torch.cuda.max_memory_reserved() / 1e6, 1), "GPU"
        return peak_rss_mb(), "RSS"

    def close(self) -> None:
        """Let go of the model."""
        self._model = self._tokenizer = None

    def _classes(self) -> tuple[Any, Any]:
        """The model's class and its config, each from its own module: Transformers' front door imports much more."""
        try:
            if self._second:
                from transformers.models.deepseek_ocr2.configuration_deepseek_ocr2 import DeepseekOcr2Config
                from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import (
                    DeepseekOcr2ForConditionalGeneration,
                )

                return DeepseekOcr2ForConditionalGeneration, DeepseekOcr2Config(**second(self._checkpoint.config))
            from transformers.models.unlimited_ocr.configuration_unlimited_ocr import UnlimitedOcrConfig
            from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrForConditionalGeneration
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith("transformers."):
                raise
            raise BackendError(
                "this version of Transformers does not know the model", hint="use the preset deepseek-ocr-transformers"
            ) from None
        return UnlimitedOcrForConditionalGeneration, UnlimitedOcrConfig(**first(self._checkpoint.config))

    def _read(
        self, pictures: Sequence[Image], request: Request, on_text: Callable[[str], None] | None
    ) -> list[Reading]:
        from ocr.backends.decoding import GuardProcessor, LogitsWatch, Streamer

        seen = [views(picture, sizes(request.mode, second=self._second)) for picture in pictures]
        inputs, length = self._inputs(seen, request)
        _, ends, pad = special(self._checkpoint.config)
        exact = request.exact_tokens
        most = exact or min(request.max_tokens, _CONTEXT - length)
        if most < 1:
            raise UsageError(f"the picture alone takes {length} tokens", hint="use a smaller --mode")
        watch = LogitsWatch()
        processors: list[Any] = [watch] if exact else []
        if request.guard.size:
            processors.append(GuardProcessor(request.guard, self._checkpoint.kept_tokens(KEPT_TOKENS), length))
        streamer = Streamer(self._tokenizer, ends, on_text) if len(pictures) == 1 else None
        began = time.perf_counter()
        answers = self._model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=most,
            eos_token_id=None if exact else sorted(ends),
            pad_token_id=pad,
            logits_processor=processors,
            streamer=streamer,
        )
        first_at = streamer.first if streamer else None
        logits = None
        if exact:
            width = int(self._model.config.text_config.vocab_size)
            logits = Logits(finite=watch.finite, width=watch.width, expected_width=width)
        return [
            self._reading(row, most, frozenset() if exact else ends, logits, first_at and first_at - began)
            for row in answers[:, length:].tolist()
        ]

    def _inputs(self, seen: Sequence[Views], request: Request) -> tuple[dict[str, Any], int]:
        """The model's inputs, rows filled up on the left, and their length."""
        import torch

        begin, _, pad = special(self._checkpoint.config)
        image = int(self._model.config.image_token_id)
        question = self._tokenizer.encode(f"\n{request.prompt.text}", add_special_tokens=False).ids
        rows = [[begin, *[image] * tokens(one, second=self._second), *question] for one in seen]
        length = max(map(len, rows))
        device, kind = self._model.device, self._model.dtype
        tiles = [tile for one in seen for tile in one.tiles]
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor([[pad] * (length - len(row)) + row for row in rows], device=device),
            "attention_mask": torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], device=device),
            "pixel_values": _pixels([one.whole for one in seen], device, kind),
            "num_local_patches": [len(one.tiles) for one in seen],
        }
        if tiles:
            inputs["pixel_values_local"] = _pixels(tiles, device, kind)
        if not self._second:
            inputs["patches_grid"] = [list(one.grid) for one in seen]
        return inputs, length

    def _reading(
        self, row: list[int], most: int, ends: frozenset[int], logits: Logits | None, first_after: float | None
    ) -> Reading:
        end = next((at for at, token in enumerate(row) if token in ends), None)
        made = row if end is None else row[:end]
        return Reading(
            raw=self._tokenizer.decode(made, skip_special_tokens=False),
            tokens=len(made) + (end is not None),
            finish="length" if end is None and len(row) >= most and not logits else "stop",
            seconds_first_token=first_after,
            logits=logits,
        )


class _Clock:
    """How long each stage took."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._last = time.perf_counter()
        self.stages: dict[str, float] = {}

    def stage(self, name: str, said: str) -> float:
        """A stage is over; its seconds."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        self.stages[name] = round(seconds, 3)
        self._say(f"{said} in {seconds:.2f} s")
        return max(seconds, 1e-6)


def _place(size_bytes: int) -> tuple[Any, Any]:
    """The device and the kind of number. OCR_DEVICE (cuda, cpu) decides; without it a GPU where there is one."""
    import torch

    asked = os.environ.get("OCR_DEVICE", "auto")
    if asked not in {"auto", "cuda", "cpu"}:
        raise UsageError(f"OCR_DEVICE is {asked!r}", hint="cuda, cpu or auto")
    has_gpu = asked != "cpu" and torch.cuda.is_available()
    if asked == "cuda" and not has_gpu:
        raise BackendError("there is no GPU that torch can use", hint="devenv doctor says why; or use deepseek-ocr-cpu")
    if has_gpu:
        kind = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.device("cuda", torch.cuda.current_device()), kind
    # bfloat16 halves the memory, but only some processors compute with it quickly.
    wide = 2 * size_bytes / 1e6 * 1.2
    return torch.device("cpu"), torch.bfloat16 if fast_bfloat16() or available_mb() < wide else torch.float32


def _empty(model_class: Any, config: Any, device: Any, kind: Any) -> Any:
    """The model with memory on the device and nothing in its parameters yet; what is computed, not stored, is there."""
    import torch

    # Parameters are not filled with random numbers first, which would take longer than to load them.
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        with torch.device("meta"):
            model = model_class(config)
    finally:
        torch.set_default_dtype(before)
    model.to_empty(device=device)
    for module in model.modules():
        buffers = list(module.named_buffers(recurse=False))
        if buffers:
            for name, buffer in buffers:
                if buffer.is_floating_point():  # positions in sines and cosines are computed in full
                    module.register_buffer(name, buffer.float(), persistent=False)
            model._init_weights(module)
    return model.eval()


def _pixels(pictures: Sequence[Image], device: Any, kind: Any) -> Any:
    """Pictures of one size as numbers from -1 to 1: pictures × 3 × height × width."""
    import numpy as np
    import torch

    stacked = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    numbers = stacked.to(device).permute(0, 3, 1, 2).to(torch.float32)
    return numbers.div_(127.5).sub_(1).to(kind).contiguous()


def _tokenizer(checkpoint: Checkpoint) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    except Exception as error:  # noqa: BLE001  (the library raises nothing more special)
        raise BackendError(f"tokenizer.json cannot be used: {error}", hint="devenv weights verify") from None


def is_full(error: Exception) -> bool:
    """Whether memory did not do: PyTorch has a class of its own for the GPU's, and words alone for the machine's."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or _FULL.search(str(error)) is not None
    )


def _full(error: Exception) -> MemoryFullError:
    said = (str(error) or "no more memory").splitlines()[0].split(". ")[0]
    return MemoryFullError(
        f"not enough memory: {said}",
        hint="a smaller --concurrency or --mode, or stop what else uses the GPU (nvidia-smi)",
    )
