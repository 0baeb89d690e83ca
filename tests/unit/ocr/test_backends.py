"""The engines' own parts, with modules that stand in for them. What only a GPU can show is not shown here."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ocr import guard, modes, prompts
from ocr.backends import Settings, vllm
from ocr.backends.rapidocr import RapidOcrBackend
from ocr.backends.transformers import TransformersBackend
from ocr.backends.vllm import VllmBackend, sampling, serve_command
from ocr.engine import Reading, Request
from ocr.errors import BackendError, MemoryFullError, UsageError
from PIL import Image

from tests.unit.ocr.test_model import checkpoint


def _request(**changes: Any) -> Request:
    made: dict[str, Any] = {
        "prompt": prompts.prompt("markdown"), "mode": modes.mode("gundam"), "guard": guard.BY_JOB["image"], **changes,
    }  # fmt: skip
    return Request(**made)


class _Answer:
    def __init__(self, text: str, reason: str = "stop", logprobs: Any = None) -> None:
        one = types.SimpleNamespace(text=text, token_ids=[1, 2, 3], finish_reason=reason, logprobs=logprobs)
        self.outputs = [one]
        self.metrics = types.SimpleNamespace(first_token_latency=0.25)


@dataclasses.dataclass
class FakeVllm:
    """What was asked of it, and what it says."""

    made: dict[str, Any] = dataclasses.field(default_factory=dict)
    prompts: list[Any] = dataclasses.field(default_factory=list)
    parameters: Any = None
    answers: Any = dataclasses.field(default_factory=list)
    ended: int = 0
    dead: bool = False
    talks: bool = False

    def speak(self, where: str) -> None:
        """To stdout, as Python and as a native library does."""
        if self.talks:
            print("[Gloo]", end=" ")
            sys.stdout.flush()
            os.write(1, f"{where}\n".encode())

    def shutdown(self) -> None:
        self.ended += 1
        self.speak("shutdown")
        if self.dead:
            raise RuntimeError("the engine core ended before")


def nvml(
    free_mb: int | None = 77_500, gpus: int = 1, mig: int | None = None, *, is_there: bool = True
) -> types.ModuleType:
    """NVIDIA's management library with GPUs of 85,500 MB; `mig` is None where a GPU cannot be divided,
    `free_mb` where its memory is not told."""

    class NVMLError(Exception):
        pass

    def mode(_gpu: str) -> list[int]:
        if mig is None:
            raise NVMLError("not supported")
        return [mig, mig]

    def init() -> None:
        if not is_there:
            raise NVMLError("driver not loaded")

    def memory(_gpu: str) -> types.SimpleNamespace:
        if free_mb is None:
            raise NVMLError("no permission")
        return types.SimpleNamespace(free=free_mb * 10**6, used=(85_500 - free_mb) * 10**6, total=85_500 * 10**6)

    module = types.ModuleType("pynvml")
    functions = {
        "NVMLError": NVMLError, "nvmlInit": init, "nvmlDeviceGetMigMode": mode, "nvmlDeviceGetCount": lambda: gpus,
        "nvmlDeviceGetHandleByIndex": lambda index: f"GPU {index}", "nvmlDeviceGetMemoryInfo": memory,
        "nvmlDeviceGetName": lambda one: f"NVIDIA {one}",
    }  # fmt: skip
    module.__dict__.update(functions)
    return module


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeVllm:
    state = FakeVllm()

    class LLM:
        def __init__(self, **options: Any) -> None:
            state.made = options
            state.speak("LLM")
            if isinstance(state.answers, Exception):
                raise state.answers

        def generate(self, asked: Any, parameters: Any, *, use_tqdm: bool) -> Any:
            state.prompts, state.parameters = asked, parameters
            assert use_tqdm is False
            state.speak("generate")
            return state.answers

        @property
        def llm_engine(self) -> Any:
            return types.SimpleNamespace(engine_core=types.SimpleNamespace(shutdown=state.shutdown))

    package = types.ModuleType("vllm")
    package.LLM, package.SamplingParams, package.__version__ = LLM, dict, "0.28.0"  # type: ignore[attr-defined]
    model = types.ModuleType("vllm.model_executor.models.deepseek_ocr")
    model.NGramPerReqLogitsProcessor = "the guard"  # type: ignore[attr-defined]
    for name, module in {
        "vllm": package,
        "vllm.model_executor": types.ModuleType("vllm.model_executor"),
        "vllm.model_executor.models": types.ModuleType("vllm.model_executor.models"),
        "vllm.model_executor.models.deepseek_ocr": model,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in (
        "VLLM_USE_V2_MODEL_RUNNER", "VLLM_NO_USAGE_STATS", "VLLM_LOGGING_LEVEL", "VLLM_LOGGING_STREAM",
        "VLLM_ENABLE_V1_MULTIPROCESSING", "TRITON_ALLOW_NON_CONSTEXPR_GLOBALS",
    ):  # fmt: skip
        monkeypatch.setenv(name, "as before")
        monkeypatch.delenv(name)
    monkeypatch.setattr(vllm, "has_gpu", lambda: True)
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    monkeypatch.delenv("OCR_GPU_SHARE", raising=False)
    return state


def test_vllm_is_started_with_the_guard_and_without_caches(fake: FakeVllm, tmp_path: Path) -> None:
    said: list[str] = []
    facts = VllmBackend(Settings(model=checkpoint(tmp_path / "m"))).load(said.append)
    assert fake.made["logits_processors"] == ["the guard"]
    assert (fake.made["enable_prefix_caching"], fake.made["mm_processor_cache_gb"]) == (False, 0)
    assert fake.made["model"] == str(tmp_path / "m")
    assert (facts.backend, facts.model, facts.notes["vllm"]) == ("vllm", "m", "0.28.0")
    assert facts.device == "NVIDIA GPU 0"
    # The second model runner refuses the guard, from 0.31 on.
    assert os.environ["VLLM_USE_V2_MODEL_RUNNER"] == "0"


@pytest.mark.parametrize(
    ("has_many", "told", "becomes"), [(False, None, "0"), (True, None, "1"), (False, "1", "1"), (True, "0", "0")]
)
@pytest.mark.usefixtures("fake")
def test_vllm_has_a_process_of_its_own_for_many_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, becomes: str, *, has_many: bool
) -> None:
    if told:
        monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", told)
    VllmBackend(Settings(model=checkpoint(tmp_path / "m"), has_many=has_many)).load(lambda _: None)
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == becomes


@pytest.mark.parametrize(
    ("gpus", "share", "fits"),
    [
        (nvml(9_000), "0.9", False),
        (nvml(9_000, mig=0), "0.9", False),
        (nvml(9_000), "0.1", True),
        (nvml(76_500), "0.9", True),
        (nvml(9_000, mig=1), "0.9", True),
        (nvml(9_000, gpus=2), "0.9", True),
        (nvml(None), "0.9", True),
        (nvml(is_there=False), "1", True),
    ],
    ids=["taken", "not divided", "asked for less", "nearly", "divided", "one of two", "not told", "unknown"],
)
def test_vllm_is_not_started_where_it_has_no_room(
    fake: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: types.ModuleType, share: str, *, fits: bool
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", gpus)
    monkeypatch.setenv("OCR_GPU_SHARE", share)
    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m")))
    if fits:
        facts = engine.load(lambda _: None)
        assert fake.made["gpu_memory_utilization"] == float(share)
        assert facts.device == ("cuda" if share == "1" else "NVIDIA GPU 0")
        return
    with pytest.raises(MemoryFullError, match=r"9\.0 of 85\.5 GB are free, and vLLM was to take 90%") as caught:
        engine.load(lambda _: None)
    assert "OCR_GPU_SHARE" in str(caught.value.hint)
    assert not fake.made


def test_vllm_reads_all_pictures_in_one_call(fake: FakeVllm, tmp_path: Path) -> None:
    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m")))
    engine.load(lambda _: None)
    fake.answers = [_Answer("one"), _Answer("two", "length")]
    readings = engine.read([Image.new("RGB", (9, 9)), Image.new("RGB", (8, 8))], _request())
    assert [one["prompt"] for one in fake.prompts] == ["<image>\n<|grounding|>Convert the document to markdown."] * 2
    assert fake.prompts[1]["multi_modal_data"]["image"].size == (8, 8)
    assert readings == [
        Reading(raw="one", tokens=3, seconds_first_token=0.25),
        Reading(raw="two", tokens=3, finish="length", seconds_first_token=0.25),
    ]
    assert engine.peak_memory_mb() == (8000.0, "GPU")


def test_vllm_answers_of_an_interrupted_call_are_no_page_of_the_next(fake: FakeVllm, tmp_path: Path) -> None:
    """The engine goes on with what it was asked before, and gives those answers first."""
    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m")))
    engine.load(lambda _: None)
    fake.answers = [_Answer("of before"), _Answer("one"), _Answer("two")]
    readings = engine.read([Image.new("RGB", (9, 9)), Image.new("RGB", (8, 8))], _request())
    assert [one.raw for one in readings] == ["one", "two"]


def test_vllm_failures_while_reading_are_explained_too(
    fake: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CompilationError(Exception):
        pass

    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m")))
    engine.load(lambda _: None)

    def fails(*_: Any, **__: Any) -> Any:
        raise CompilationError('at 1:2:\n    x\nNameError("x")')

    monkeypatch.setattr(engine._engine, "generate", fails)
    assert not fake.prompts
    with pytest.raises(BackendError, match=r'^vLLM failed: NameError\("x"\)$'):
        engine.read([Image.new("RGB", (9, 9))], _request())


def test_what_vllm_prints_is_no_part_of_the_text(fake: FakeVllm, tmp_path: Path, capfd: Any) -> None:
    """Neither what native libraries write, nor what Python's own stdout still holds."""
    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m")))
    fake.talks, fake.answers = True, [_Answer("one")]
    print("before")
    engine.load(lambda _: None)
    print("between")
    engine.read([Image.new("RGB", (9, 9))], _request())
    engine.close()
    print("after")
    said = capfd.readouterr()
    assert said.out == "before\nbetween\nafter\n"
    assert said.err.split() == ["[Gloo]", "LLM", "[Gloo]", "generate", "[Gloo]", "shutdown"]


@pytest.mark.parametrize("dead", [False, True])
def test_vllm_processes_are_told_to_end_once(fake: FakeVllm, tmp_path: Path, *, dead: bool) -> None:
    fake.dead = dead
    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m")))
    engine.close()
    assert fake.ended == 0, "it has none yet"
    engine.load(lambda _: None)
    engine.close()
    engine.close()
    assert fake.ended == 1


def test_sampling_parameters() -> None:
    assert sampling(_request(), [128821, 128822]) == {
        "temperature": 0.0,
        "max_tokens": 8192,
        "skip_special_tokens": False,
        "extra_args": {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [128821, 128822]},
    }
    exact = sampling(_request(guard=guard.parse("off"), exact_tokens=64), [])
    assert "extra_args" not in exact
    assert (exact["max_tokens"], exact["min_tokens"], exact["ignore_eos"]) == (64, 64, True)


@pytest.mark.parametrize(("value", "finite"), [(-0.5, True), (float("nan"), False), (float("-inf"), False)])
def test_vllm_logits_are_seen_through_log_probabilities(
    fake: FakeVllm, tmp_path: Path, value: float, *, finite: bool
) -> None:
    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m")))
    engine.load(lambda _: None)
    fake.answers = [_Answer("x", logprobs=[{7: types.SimpleNamespace(logprob=value)}])]
    (reading,) = engine.read([Image.new("RGB", (9, 9))], _request(exact_tokens=3))
    assert reading.logits is not None
    assert reading.logits.finite is finite


def test_vllm_without_a_gpu_says_so_before_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "has_gpu", lambda: False)
    with pytest.raises(BackendError, match="there is no GPU here") as caught:
        VllmBackend(Settings(model=checkpoint(tmp_path / "m"))).load(lambda _: None)
    assert "devenv doctor" in str(caught.value.hint)


def test_vllm_has_one_mode_and_says_so(fake: FakeVllm, tmp_path: Path) -> None:
    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m")))
    with pytest.raises(UsageError, match="Gundam mode only, not tiny"):
        engine.read([Image.new("RGB", (9, 9))], _request(mode=modes.mode("tiny")))


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryFullError, "not enough memory"),
        (ValueError("Free memory on device (3/80 GiB) is less than desired"), MemoryFullError, "not enough memory"),
        (RuntimeError("Engine core initialization failed."), BackendError, "vLLM failed: Engine core"),
    ],
)
def test_vllm_failures_have_a_remedy(
    fake: FakeVllm, tmp_path: Path, error: Exception, kind: type[BackendError], said: str
) -> None:
    fake.answers = error
    with pytest.raises(kind, match=said) as caught:
        VllmBackend(Settings(model=checkpoint(tmp_path / "m"))).load(lambda _: None)
    assert caught.value.hint


def test_vllm_says_what_triton_refuses_and_not_the_code_before_it(fake: FakeVllm, tmp_path: Path) -> None:
    class CompilationError(Exception):
        pass

    fake.answers = CompilationError('at 61:23:\n    qk_scale = scale * LOG2E\n               ^\nNameError("LOG2E")')
    with pytest.raises(BackendError, match=r'^vLLM failed: NameError\("LOG2E"\)$'):
        VllmBackend(Settings(model=checkpoint(tmp_path / "m"))).load(lambda _: None)


def test_vllm_lets_triton_read_plain_numbers(fake: FakeVllm, tmp_path: Path) -> None:
    VllmBackend(Settings(model=checkpoint(tmp_path / "m"))).load(lambda _: None)
    assert fake.made
    assert os.environ["TRITON_ALLOW_NON_CONSTEXPR_GLOBALS"] == "1"


@pytest.fixture
def on_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TransformersBackend]:
    """Transformers on a GPU whose answers to `read` are these, one after the other."""
    torch = types.ModuleType("torch")
    torch.inference_mode = contextlib.nullcontext  # type: ignore[attr-defined]

    def empty() -> None:
        raise RuntimeError("CUDA error: out of memory")

    torch.cuda = types.SimpleNamespace(empty_cache=empty)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)

    def make(*errors: Exception) -> TransformersBackend:
        engine = TransformersBackend(Settings(model=checkpoint(tmp_path / "m")))
        said = iter(errors)

        def read(*_: Any) -> Any:
            raise next(said)

        model = types.SimpleNamespace(device=types.SimpleNamespace(type="cuda"))
        monkeypatch.setattr(engine, "_read", read)
        monkeypatch.setattr(engine, "_model", model)
        return engine

    return make


def _reads(engine: TransformersBackend) -> None:
    engine.read([Image.new("RGB", (9, 9))], _request())


def test_a_driver_that_does_not_recover_from_full_memory_is_named(on_gpu: Callable[..., TransformersBackend]) -> None:
    """As seen on an H100 with as much memory left as the weights alone take."""
    engine = on_gpu(RuntimeError("CUDA error: out of memory\nSearch for …"), RuntimeError("CUDA error: unknown error"))
    with pytest.raises(MemoryFullError, match="CUDA error: out of memory"):
        _reads(engine)
    with pytest.raises(BackendError, match="does not recover") as caught:
        _reads(engine)
    assert "--resume" in str(caught.value.hint)


def test_another_error_of_cuda_is_no_matter_of_memory(on_gpu: Callable[..., TransformersBackend]) -> None:
    with pytest.raises(RuntimeError, match="unknown error"):
        _reads(on_gpu(RuntimeError("CUDA error: unknown error")))


@pytest.mark.parametrize("share", ["0", "2", "half"])
def test_a_share_of_the_gpu_that_is_none(
    fake: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str
) -> None:
    monkeypatch.setenv("OCR_GPU_SHARE", share)
    with pytest.raises(UsageError, match="OCR_GPU_SHARE"):
        VllmBackend(Settings(model=checkpoint(tmp_path / "m"))).load(lambda _: None)


def test_vllm_serve_listens_here_only() -> None:
    command = serve_command(Path("/mnt/x/model"), "acme/ocr", "127.0.0.1", 8000, ("--max-num-seqs", "8"))
    assert command[:3] == ["vllm", "serve", "/mnt/x/model"]
    assert command[command.index("--served-model-name") + 1] == "acme/ocr"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert "vllm.model_executor.models.deepseek_ocr:NGramPerReqLogitsProcessor" in command
    assert command[-2:] == ["--max-num-seqs", "8"]


@pytest.fixture
def rapid(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """RapidOCR that finds two lines, the lower one first; keeps what engines were made with."""
    import numpy as np

    made: list[dict[str, Any]] = []

    class RapidOCR:
        def __init__(self, params: dict[str, Any]) -> None:
            made.append(params)

        def __call__(self, array: Any) -> Any:
            if array.max() == array.min():
                return types.SimpleNamespace(txts=None, boxes=None, scores=None)
            assert tuple(array[0, 0]) == (30, 20, 10)  # blue first
            low = [[0, 60], [90, 60], [90, 80], [-5, 80]]
            high = [[0, 10], [900, 12], [900, 30], [0, 28]]
            return types.SimpleNamespace(txts=("low", "high"), boxes=np.array([low, high]), scores=(0.5, 0.987654))

    module = types.ModuleType("rapidocr")
    module.RapidOCR = RapidOCR  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rapidocr", module)
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "3.10.0")
    return made


def _rapid(threads: int | None = 1) -> RapidOcrBackend:
    engine = RapidOcrBackend(Settings(threads=threads))
    engine.load(lambda _: None)
    return engine


def _picture() -> Image.Image:
    image = Image.new("RGB", (100, 100), "white")
    image.putpixel((0, 0), (10, 20, 30))
    return image


def test_rapidocr_lines_come_in_order_with_boxes_inside_the_picture(rapid: list[dict[str, Any]]) -> None:
    (reading,) = _rapid().read([_picture()], _request())
    assert reading.raw == "high\n\nlow"
    assert reading.blocks is not None
    assert [(block.text, block.boxes, block.score) for block in reading.blocks] == [
        ("high", ((0, 10, 100, 31),), 0.9877),
        ("low", ((0, 60, 91, 81),), 0.5),
    ]


def test_rapidocr_engines_are_kept_one_for_each_size(rapid: list[dict[str, Any]]) -> None:
    engine = _rapid()
    for mode in ("small", "small", "base"):
        engine.read([_picture()], _request(mode=modes.mode(mode)))
    assert [one["Det.limit_side_len"] for one in rapid] == [640, 1024]
    assert rapid[0]["EngineConfig.onnxruntime.intra_op_num_threads"] == 1


def test_rapidocr_reads_several_at_once(rapid: list[dict[str, Any]]) -> None:
    assert [one.raw for one in _rapid(4).read([_picture()] * 3, _request())] == ["high\n\nlow"] * 3


def test_rapidocr_finds_nothing_on_a_blank_page(rapid: list[dict[str, Any]]) -> None:
    assert _rapid().read([Image.new("RGB", (9, 9))], _request()) == [Reading(raw="", blocks=())]


def test_rapidocr_locates_lines_that_have_the_text(rapid: list[dict[str, Any]]) -> None:
    (reading,) = _rapid().read([_picture()], _request(prompt=prompts.prompt("locate", "LOW")))
    assert reading.raw == "low"


@pytest.mark.parametrize("changes", [{"prompt": prompts.prompt("describe")}, {"exact_tokens": 64}])
def test_rapidocr_says_what_it_cannot_do(rapid: list[dict[str, Any]], changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="rapidocr"):
        _rapid().read([_picture()], _request(**changes))


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(BackendError, match="cannot be imported") as caught:
        RapidOcrBackend(Settings()).load(lambda _: None)
    assert "pip install" in str(caught.value.hint)
