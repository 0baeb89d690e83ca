"""vLLM, offline: pages go in as they come and out as they are finished. It prepares pictures in Gundam mode only."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ocr.backends import Settings
from ocr.backends.vllm_engine import FEW, MANY, MEMORY_HINT, Engine, Overheard, arguments, flags, size
from ocr.checkpoint import Checkpoint
from ocr.engine import Facts, Logits, Reading, Request, Say
from ocr.errors import BackendError, MemoryFullError, UsageError
from ocr.flow import Answer, Pictures, failed
from ocr.guard import KEPT_TOKENS
from ocr.memory import give_back, gpu, has_gpu, peak_rss_mb, wake_gpu
from ocr.warming import Warming, imports, libraries, note_imports

if TYPE_CHECKING:
    from PIL.Image import Image

_PREPARING = 8
"""Threads that prepare pictures: one alone makes 5 pages a second, and a GPU reads more."""
_AHEAD = 8
"""Pages that wait beyond those that are read: each is tens of megabytes once it is prepared."""
_FEWER = 4
"""How many times fewer pages are read at once after the GPU's memory was full."""


class VllmBackend:
    """One engine: in this process, which starts sooner, or for many pages in one of its own."""

    name = "vllm"

    def __init__(self, settings: Settings) -> None:
        assert settings.model is not None
        self._checkpoint = Checkpoint.read(settings.model)
        self._has_many = settings.has_many
        self.streams = not settings.has_many
        self.concurrency = MANY if settings.has_many else FEW
        self.model = self._checkpoint.title
        self._engine: Engine | None = None
        self._pages = self.concurrency
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
        if not has_gpu():  # vLLM would say that its device string is empty
            raise BackendError("there is no GPU here", hint="devenv doctor says why; or use deepseek-ocr-cpu")
        if "torch" in sys.modules:
            give_back()  # of an engine that this process had before
        made = size(self._checkpoint, self._pages)  # raises before seconds are spent, as does the next line
        arguments(self._checkpoint.folder, made, self._checkpoint.config)
        warming = Warming([*libraries(), *self._checkpoint.shards], imports=imports())
        if os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0":
            wake_gpu()  # otherwise it would be this process's, and the engine's is another
        began = time.perf_counter()
        try:
            version = imported()
            then = time.perf_counter()
            say(f"vLLM {version} imported in {then - began:.2f} s")
            self._start()
        except ImportError as error:
            raise BackendError(f"vLLM cannot be imported: {error}", hint="use a preset with vLLM") from None
        except BackendError:
            raise
        except Exception as error:  # libraries that are loaded meanwhile raise anything
            raise _failure(error) from error
        finally:
            warming.stop()
        note_imports()
        started = time.perf_counter()
        device = gpu()  # NVML and not CUDA, which would keep the engine from starting its processes
        say(f"engine started in {started - then:.2f} s")
        return Facts(
            backend=self.name,
            model=self.model,
            device=device.name if device else "cuda",
            stages={"import": round(then - began, 3), "load": round(started - then, 3)},
            notes={"vllm": version},
        )

    def _start(self) -> None:
        made = size(self._checkpoint, self._pages)
        errors = Overheard()
        try:
            self._engine = Engine(self._checkpoint, made, errors)
        except Exception as error:  # a driver that is too old, a GPU without kernels, an engine process that ended
            errors.wait()
            raise _failure(error, memory_was_full=errors.memory_was_full) from error

    def read(
        self, pictures: Sequence[Image], request: Request, on_text: Callable[[str], None] | None = None
    ) -> Sequence[Reading]:
        """Read pictures, all at once; `on_text` gets the text of a single one as it comes."""
        self.check(request)
        assert self._engine is not None
        engine = self._engine
        began = time.perf_counter()
        parameters = self._parameters(request, as_it_comes=len(pictures) == 1)
        parts: dict[str, _Parts] = {}
        try:
            for picture in pictures:
                parts[engine.add(engine.prepare(picture, _text(request)), parameters)] = _Parts()
            while not all(one.is_finished for one in parts.values()):
                for answer in engine.step():
                    if (one := parts.get(answer.request_id)) is not None:  # else an interrupted call's
                        text = one.add(answer, time.perf_counter() - began)
                        if on_text and text and len(pictures) == 1:
                            on_text(text)
        except Exception as error:  # Triton's and vLLM's own are of no common kind
            raise _failure(error, memory_was_full=engine.errors.memory_was_full) from error
        finally:
            engine.forget([name for name, one in parts.items() if not one.is_finished])
        self._look_at_memory()
        return [one.reading(request) for one in parts.values()]

    def flow(self, pictures: Pictures, request: Request, most: int, say: Say) -> Iterator[tuple[int, Answer]]:
        """Read pages as they come. An engine that ends, as it does when the GPU's memory is full, is started again,
        smaller. Raises BackendError when even that does not help."""
        text, parameters = _text(request), self._parameters(request)
        again: deque[tuple[int, Image]] = deque()
        preparing: dict[Future[Any], tuple[int, Image]] = {}
        running: dict[str, tuple[int, Image]] = {}
        failures = 0  # one after the other, with one page at a time
        with contextlib.ExitStack() as ending:
            pool = ThreadPoolExecutor(_PREPARING)
            ending.callback(pool.shutdown, wait=False, cancel_futures=True)
            while True:
                engine = self._engine
                assert engine is not None
                room = min(most, self._pages) + _AHEAD  # some wait in the engine, so that it never does
                while len(running) + len(preparing) < room:
                    one = again.popleft() if again else pictures.take(wait=not running and not preparing)
                    if one is None:
                        break
                    preparing[pool.submit(engine.prepare, one[1], text)] = one
                if not running and not preparing:
                    self._look_at_memory()
                    return
                yield from self._ask(engine, preparing, running, parameters)
                if not running:
                    continue
                try:
                    for answer in engine.step():
                        if answer.finished and (done := running.pop(answer.request_id, None)):
                            yield done[0], _reading(answer.outputs[0])
                            failures = 0
                except Exception as error:  # noqa: BLE001  (of no common kind; it is raised where nothing helps)
                    again.extendleft(reversed(running.values()))
                    running.clear()
                    failures += self._pages == 1
                    cause = self._start_again(engine, error, failures, most, say)
                    if failures:  # so it was this page
                        yield again.popleft()[0], cause

    def _ask(
        self,
        engine: Engine,
        preparing: dict[Future[Any], tuple[int, Image]],
        running: dict[str, tuple[int, Image]],
        parameters: Any,
    ) -> Iterator[tuple[int, BackendError]]:
        """Hand over what is prepared, and wait for the first when the engine has nothing else; the pages that vLLM
        refuses, which must not end the others."""
        ready, _ = wait(preparing, None if not running else 0, FIRST_COMPLETED)
        for future in [future for future in preparing if future in ready]:
            one = preparing.pop(future)
            try:
                running[engine.add(future.result(), parameters)] = one
            except Exception as error:  # noqa: BLE001  (of no common kind)
                yield one[0], failed(error)

    def _start_again(self, engine: Engine, error: Exception, failures: int, most: int, say: Say) -> BackendError:
        """Make a smaller engine; why the last one failed. Raises it where a smaller one cannot help."""
        if self._has_many:
            engine.errors.wait()
        cause = _failure(error, memory_was_full=engine.errors.memory_was_full)
        # In this process CUDA does not recover, and nothing gives its memory back.
        if not self._has_many or failures > 1 or (failures and isinstance(cause, MemoryFullError)):
            raise cause from error
        self._pages = max(1, min(self._pages, most) // _FEWER)
        say(f"{cause.message}: the engine is started again, for {self._pages} pages at once")
        engine.close()
        give_back()
        self._start()
        return cause

    def _parameters(self, request: Request, *, as_it_comes: bool = False) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        kind = RequestOutputKind.DELTA if as_it_comes else RequestOutputKind.FINAL_ONLY
        return SamplingParams(**sampling(request, self._checkpoint.kept_tokens(KEPT_TOKENS)), output_kind=kind)

    def _look_at_memory(self) -> None:
        if (device := gpu()) and device.memory:
            self._peak_mb = max(self._peak_mb, device.memory.used_mb)

    def peak_memory_mb(self) -> tuple[float, Literal["GPU", "RSS"]]:
        """The used memory of the whole GPU, where NVML reports it, because the engine may have a process of its own."""
        return (self._peak_mb, "GPU") if self._peak_mb else (peak_rss_mb(), "RSS")

    def close(self) -> None:
        """End the engine, and its processes."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()


class _Parts:
    """An answer as it comes."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._tokens = 0
        self._logprobs: list[float] = []
        self._first: float | None = None
        self._reason: str | None = None
        self.is_finished = False

    def add(self, answer: Any, seconds: float) -> str:
        """Take the next part, which came so many seconds after the question; its text."""
        output = answer.outputs[0]
        self._first = seconds if self._first is None else self._first
        self._texts.append(output.text)
        self._tokens += len(output.token_ids)
        self._logprobs += [entry.logprob for step in output.logprobs or () for entry in step.values()]
        self._reason, self.is_finished = output.finish_reason, bool(answer.finished)
        return str(output.text)

    def reading(self, request: Request) -> Reading:
        """The whole."""
        finite = all(math.isfinite(value) for value in self._logprobs)
        return Reading(
            raw="".join(self._texts),
            tokens=self._tokens,
            finish="length" if self._reason == "length" else "stop",
            seconds_first_token=self._first,
            # The chosen tokens' log-probabilities are finite only when the logits are no NaN.
            logits=Logits(finite=finite) if request.exact_tokens and self._logprobs else None,
        )


def _reading(output: Any) -> Reading:
    return Reading(
        raw=output.text,
        tokens=len(output.token_ids),
        finish="length" if output.finish_reason == "length" else "stop",
    )


def _text(request: Request) -> str:
    return f"<image>\n{request.prompt.text}"


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
    wins. Raises MemoryFullError."""
    checkpoint = Checkpoint.read(model)
    given = arguments(model, size(checkpoint, MANY), checkpoint.config)
    return [
        "vllm", "serve", str(model), "--served-model-name", name, "--host", host, "--port", str(port), *flags(given),
        *further,
    ]  # fmt: skip


def imported() -> str:
    """Import vLLM's engine, in two thirds of the usual time; its version. The garbage collector, which would go through
    millions of new objects again and again, rests meanwhile. A grammar for addresses that takes two seconds to build
    and that nothing here uses is left out (`jsonschema` does without it)."""
    left_out = "rfc3987_syntax"
    was_enabled = gc.isenabled()
    gc.disable()
    if left_out not in sys.modules:
        sys.modules[left_out] = None  # type: ignore[assignment]
    try:
        import vllm.engine.arg_utils
        import vllm.v1.engine.core
        import vllm.v1.engine.llm_engine
        import vllm.version
        from vllm.model_executor.models.deepseek_ocr import DeepseekOCRForCausalLM
        from vllm.model_executor.models.registry import ModelRegistry

        # Registered by its class: otherwise vLLM starts another process that imports all of this to inspect the model.
        ModelRegistry.models.pop(DeepseekOCRForCausalLM.__name__, None)  # some versions warn of a second one
        ModelRegistry.register_model(DeepseekOCRForCausalLM.__name__, DeepseekOCRForCausalLM)
        return str(vllm.version.__version__)
    finally:
        if sys.modules.get(left_out, "") is None:
            del sys.modules[left_out]
        gc.freeze()
        if was_enabled:
            gc.enable()


def environment() -> None:
    """What has to be set before vLLM is imported; what the user has set stays."""
    # From 0.31 on the second model runner is the default, and it takes no such guard.
    os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")
    # From 0.30 on a kernel of the model reads a plain number that Triton otherwise refuses: seen on an H100.
    os.environ.setdefault("TRITON_ALLOW_NON_CONSTEXPR_GLOBALS", "1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout has the text, or JSON


def _failure(error: Exception, *, memory_was_full: bool = False) -> BackendError:
    lines = (str(error).strip() or type(error).__name__).splitlines()
    said = lines[-1 if type(error).__name__ == "CompilationError" else 0]  # Triton's begin with the code
    if memory_was_full or "out of memory" in str(error).lower() or "free memory" in str(error).lower():
        return MemoryFullError(f"the GPU has not enough memory: {said}", hint=MEMORY_HINT)
    return BackendError(f"vLLM failed: {said}", hint="its own messages are above; more with VLLM_LOGGING_LEVEL=INFO")
