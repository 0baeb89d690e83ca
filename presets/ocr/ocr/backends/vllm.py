"""vLLM, offline: all pages of a chunk at once, batched by vLLM itself. It prepares pictures in Gundam mode only."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ocr.backends import Settings
from ocr.checkpoint import Checkpoint
from ocr.engine import Facts, Logits, Reading, Request, Say
from ocr.errors import BackendError, MemoryFullError, UsageError
from ocr.guard import KEPT_TOKENS
from ocr.memory import give_back, gpu, has_gpu, peak_rss_mb

if TYPE_CHECKING:
    from PIL.Image import Image

_GUARD = "vllm.model_executor.models.deepseek_ocr:NGramPerReqLogitsProcessor"
_CONTEXT = 8192
_SLACK_MB = 1000.0
"""NVML and CUDA do not count the driver's own part in the same way: what is nearly enough vLLM decides."""
_MEMORY_HINT = "stop what else uses it (nvidia-smi), or set OCR_GPU_SHARE to the share that is free, such as 0.6"


class VllmBackend:
    """One engine: in this process, which starts sooner, or for many pages in one of its own."""

    name = "vllm"
    streams = False
    concurrency = 64

    def __init__(self, settings: Settings) -> None:
        assert settings.model is not None
        self._checkpoint = Checkpoint.read(settings.model)
        self._has_many = settings.has_many
        self.model = self._checkpoint.title
        self._engine: Any = None
        self._peak_mb = 0.0

    def check(self, request: Request) -> None:
        """It has one mode."""
        if request.mode.name != "gundam":
            raise UsageError(
                f"vLLM prepares pictures in Gundam mode only, not {request.mode.name}",
                hint="use the preset deepseek-ocr-transformers",
            )

    def load(self, say: Say) -> Facts:
        """Start the engine."""
        environment()
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "1" if self._has_many else "0")
        share = _share()
        if not has_gpu():  # vLLM would say that its device string is empty
            raise BackendError("there is no GPU here", hint="devenv doctor says why; or use deepseek-ocr-cpu")
        _require_room(share)
        began = time.perf_counter()
        try:
            from vllm import LLM, __version__
            from vllm.model_executor.models.deepseek_ocr import NGramPerReqLogitsProcessor
        except ImportError as error:
            raise BackendError(f"vLLM cannot be imported: {error}", hint="use a preset with vLLM") from None
        except Exception as error:  # libraries that are loaded meanwhile raise anything
            raise _failure(error) from error
        imported = time.perf_counter()
        say(f"vLLM {__version__} imported in {imported - began:.2f} s")
        folder = self._checkpoint.folder
        try:
            with stdout_aside():
                self._engine = LLM(
                    model=str(folder),
                    enable_prefix_caching=False,
                    mm_processor_cache_gb=0,
                    logits_processors=[NGramPerReqLogitsProcessor],
                    max_model_len=_CONTEXT,
                    gpu_memory_utilization=share,
                    disable_log_stats=False,  # the time of the first token is among them
                )
        except Exception as error:  # a driver that is too old, a GPU without kernels, an engine process that ended
            raise _failure(error) from error
        started = time.perf_counter()
        device = gpu()  # NVML and not CUDA, which would keep the engine from starting its processes
        say(f"engine started in {started - imported:.2f} s")
        return Facts(
            backend=self.name,
            model=self.model,
            device=device.name if device else "cuda",
            stages={"import": round(imported - began, 3), "load": round(started - imported, 3)},
            notes={"vllm": str(__version__)},
        )

    def read(
        self,
        pictures: Sequence[Image],
        request: Request,
        on_text: Callable[[str], None] | None = None,  # noqa: ARG002  (the offline engine does not stream)
    ) -> Sequence[Reading]:
        """Read pictures, all at once."""
        from vllm import SamplingParams

        self.check(request)
        text = f"<image>\n{request.prompt.text}"
        prompts = [{"prompt": text, "multi_modal_data": {"image": picture}} for picture in pictures]
        parameters = SamplingParams(**sampling(request, self._checkpoint.kept_tokens(KEPT_TOKENS)))
        try:
            with stdout_aside():
                answers = self._engine.generate(prompts, parameters, use_tqdm=False)
        except Exception as error:  # Triton's and vLLM's own are of no common kind
            raise _failure(error) from error
        if (device := gpu()) and device.memory:
            self._peak_mb = max(self._peak_mb, device.memory.used_mb)
        # In order of their requests: before them may come what an interrupted call had asked for.
        return [_reading(answer, request) for answer in answers[-len(pictures) :]]

    def peak_memory_mb(self) -> tuple[float, Literal["GPU", "RSS"]]:
        """Of the GPU, where NVML tells: all that is in use on it, since the engine may have a process of its own."""
        return (self._peak_mb, "GPU") if self._peak_mb else (peak_rss_mb(), "RSS")

    def close(self) -> None:
        """End the engine's processes. Otherwise Python may wait for them for ever: `multiprocessing` does at the exit,
        and vLLM tells them in a finalizer, which comes later when somebody, as pypdfium2 does, had one first."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        with contextlib.suppress(Exception), stdout_aside():  # what was read is read; ended ones cannot be ended
            engine.llm_engine.engine_core.shutdown()


@contextlib.contextmanager
def stdout_aside() -> Iterator[None]:
    """What this process, native libraries among it, and those that it starts meanwhile print to stdout goes to stderr:
    Gloo's lines would stand before the text, or in the JSON."""
    with contextlib.suppress(OSError):  # whoever reads it has gone: that is said where the text is written
        sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def sampling(request: Request, kept: Sequence[int]) -> dict[str, Any]:
    """The arguments of SamplingParams for a request. `kept`: tokens that the guard never forbids."""
    size = request.guard.size
    # The engine takes these as JSON in some versions, which has no sets.
    guarded = {"ngram_size": size, "window_size": request.guard.window, "whitelist_token_ids": list(kept)}
    exact = request.exact_tokens
    return {
        "temperature": 0.0,
        "max_tokens": exact or request.max_tokens,
        "skip_special_tokens": False,
        **({"extra_args": guarded} if size else {}),
        **({"min_tokens": exact, "ignore_eos": True, "logprobs": 1} if exact else {}),
    }


def serve_command(model: Path, name: str, host: str, port: int, further: Sequence[str]) -> list[str]:
    """`vllm serve` as the model needs it, for clients that call it `name`; what is given further comes last and so
    wins."""
    return [
        "vllm", "serve", str(model), "--served-model-name", name, "--host", host, "--port", str(port),
        "--logits-processors", _GUARD, "--no-enable-prefix-caching", "--mm-processor-cache-gb", "0",
        "--max-model-len", str(_CONTEXT), "--gpu-memory-utilization", str(_share()), *further,
    ]  # fmt: skip


def _reading(answer: Any, request: Request) -> Reading:
    one = answer.outputs[0]
    first = getattr(getattr(answer, "metrics", None), "first_token_latency", None)
    return Reading(
        raw=one.text,
        tokens=len(one.token_ids),
        finish="length" if one.finish_reason == "length" else "stop",
        seconds_first_token=float(first) if first else None,
        logits=_logits(one) if request.exact_tokens else None,
    )


def _logits(one: Any) -> Logits | None:
    """vLLM shows the chosen tokens' log-probabilities, which are finite only when the logits are no NaN."""
    import math

    if not one.logprobs:
        return None
    values = [entry.logprob for step in one.logprobs for entry in step.values()]
    return Logits(finite=all(math.isfinite(value) for value in values))


def environment() -> None:
    """What has to be set before vLLM is imported; what the user has set stays."""
    # From 0.31 on the second model runner is the default, and it takes no such guard.
    os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")
    # From 0.30 on a kernel of the model reads a plain number that Triton otherwise refuses: seen on an H100.
    os.environ.setdefault("TRITON_ALLOW_NON_CONSTEXPR_GLOBALS", "1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout has the text, or JSON


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


def _require_room(share: float) -> None:
    """Raise MemoryFullError where the engine would find too little: it says so late, and maybe from another process."""
    give_back()  # of an engine that this process had before
    device = gpu()
    if device is None or device.memory is None or not device.is_whole:
        return
    free, total = device.memory.free_mb, device.memory.total_mb
    if free < share * total - _SLACK_MB:
        raise MemoryFullError(
            f"the GPU has not enough memory: {free / 1e3:.1f} of {total / 1e3:.1f} GB are free, and vLLM was to take "
            f"{share:.0%}",
            hint=_MEMORY_HINT,
        )


def _failure(error: Exception) -> BackendError:
    lines = (str(error).strip() or type(error).__name__).splitlines()
    said = lines[-1 if type(error).__name__ == "CompilationError" else 0]  # Triton's begin with the code
    if "out of memory" in str(error).lower() or "free memory" in str(error).lower():
        return MemoryFullError(
            f"the GPU has not enough memory: {said}",
            hint=_MEMORY_HINT,
        )
    return BackendError(f"vLLM failed: {said}", hint="its own messages are above; more with VLLM_LOGGING_LEVEL=INFO")
