"""The vLLM backend, with stand-ins for vLLM's modules. What needs a GPU is not tested here."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ocr import guard, modes, prompts
from ocr.backends import Settings, vllm, vllm_engine
from ocr.backends.vllm import VllmBackend, sampling, serve_command
from ocr.checkpoint import Checkpoint
from ocr.engine import Reading, Request
from ocr.errors import BackendError, MemoryFullError, OcrError, UsageError
from PIL import Image

from tests.unit.ocr.test_backends import nvml
from tests.unit.ocr.test_model import checkpoint


def request(**changes: Any) -> Request:
    made: dict[str, Any] = {
        "prompt": prompts.prompt("markdown"), "mode": modes.mode("gundam"), "guard": guard.BY_JOB["image"], **changes,
    }  # fmt: skip
    return Request(**made)


def picture(side: int = 9) -> Image.Image:
    return Image.new("RGB", (side, side))


@dataclasses.dataclass
class FakeVllm:
    """The requests to engines, and their answers: `script` has the answers of each step, or its exception, in turn."""

    made: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    asked: list[tuple[str, Any]] = dataclasses.field(default_factory=list)
    script: list[Any] = dataclasses.field(default_factory=list)
    running: list[str] = dataclasses.field(default_factory=list)
    forgotten: list[str] = dataclasses.field(default_factory=list)
    refuses: Exception | None = None
    ended: int = 0
    dead: bool = False
    talks: bool = False

    def speak(self, where: str) -> None:
        """To stdout, as Python and as a native library does."""
        if self.talks:
            print("[Gloo]", end=" ")
            sys.stdout.flush()
            os.write(1, f"{where}\n".encode())


def answer(name: str, text: str, reason: str | None = "stop", logprobs: Any = None) -> Any:
    output = types.SimpleNamespace(text=text, token_ids=[1, 2, 3], finish_reason=reason, logprobs=logprobs)
    return types.SimpleNamespace(request_id=name, outputs=[output], finished=reason is not None)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeVllm:
    state = FakeVllm()

    class EngineArgs:
        def __init__(self, **options: Any) -> None:
            self.options = options

        def create_engine_config(self) -> Any:
            return types.SimpleNamespace(model_config="the model's", options=self.options)

    class LLMEngine:
        model_config = "the model's"

        def __init__(self) -> None:
            self.renderer = types.SimpleNamespace(render_cmpl=self.render, default_cmpl_tok_params="usual")
            self.engine_core = types.SimpleNamespace(shutdown=self.shutdown)

        @staticmethod
        def render(prompts: Any, given: str) -> Any:
            if prompts[0][1]["multi_modal_data"]["image"].size == (1, 1):
                raise ValueError("a picture of one pixel")
            return [(prompts[0], given)]

        @classmethod
        def from_vllm_config(cls, config: Any, *, disable_log_stats: bool) -> LLMEngine:
            assert disable_log_stats
            state.made.append(config.options)
            state.running.clear()
            state.speak("engine")
            if state.refuses:
                raise state.refuses
            return cls()

        def add_request(self, name: str, prompt: Any, parameters: Any) -> str:
            state.asked.append((name, (prompt, parameters)))
            state.running.append(name)
            return f"{name}-of-the-engine"

        def has_unfinished_requests(self) -> bool:
            return bool(state.running)

        def step(self) -> list[Any]:
            state.speak("step")
            told = state.script.pop(0) if state.script else [answer(name, f"read {name}") for name in state.running]
            if isinstance(told, BaseException):
                raise told
            for one in told:
                if one.finished and one.request_id in state.running:
                    state.running.remove(one.request_id)
            return list(told)

        def abort_request(self, names: list[str]) -> None:
            state.forgotten += names
            state.running = [name for name in state.running if name not in names]

        def shutdown(self) -> None:
            state.ended += 1
            state.speak("shutdown")
            if state.dead:
                raise RuntimeError("the engine core ended before")

    class Parameters(types.SimpleNamespace):
        def clone(self) -> Parameters:
            return Parameters(**vars(self))

    modules: dict[str, dict[str, Any]] = {
        "vllm.config.kernel": {"KernelConfig": types.SimpleNamespace(__dataclass_fields__={"enable_jit_warmup": 1})},
        "vllm.engine.arg_utils": {"EngineArgs": EngineArgs},
        "vllm.v1.engine.llm_engine": {"LLMEngine": LLMEngine},
        "vllm.sampling_params": {
            "SamplingParams": Parameters,
            "RequestOutputKind": types.SimpleNamespace(DELTA="parts", FINAL_ONLY="whole"),
        },
        "vllm.renderers.inputs.preprocess": {"parse_model_prompt": lambda config, prompt: (config, prompt)},
    }
    for name, contents in modules.items():
        module = types.ModuleType(name)
        module.__dict__.update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(vllm, "imported", lambda: "0.29.0")
    monkeypatch.setattr(vllm, "has_gpu", lambda: True)
    monkeypatch.setattr(vllm, "wake_gpu", lambda: None)
    monkeypatch.setattr(vllm, "libraries", list)
    monkeypatch.setattr(vllm_engine, "_share_the_tokenizer", lambda _: None)
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    for name in ("OCR_GPU_SHARE", "VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_CACHE_ROOT", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return state


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def loaded(tmp_path: Path, **settings: Any) -> VllmBackend:
    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m"), **settings))
    engine.load(lambda _: None)
    return engine


def test_an_engine_is_made_for_what_is_known_beforehand(fake: FakeVllm, tmp_path: Path) -> None:
    facts = VllmBackend(Settings(model=checkpoint(tmp_path / "m"))).load(lambda _: None)
    (made,) = fake.made
    assert made["logits_processors"] == ["ocr.backends.vllm_guard:RepetitionGuard"]
    assert (made["enable_prefix_caching"], made["mm_processor_cache_gb"]) == (False, 0)
    assert made["model"] == str(tmp_path / "m")
    # Nothing is measured at the start, tuned, or compiled by Inductor, nor anything that wants a CUDA compiler.
    assert made["skip_mm_profiling"] is True
    assert made["hf_overrides"] == {"text_config": {"head_dim": 128}}
    assert made["kv_cache_memory_bytes"] == 4 * 8192 * 61_440
    assert made["compilation_config"]["mode"] == 0
    assert made["compilation_config"]["cudagraph_capture_sizes"] == [1, 2, 4]
    assert made["kernel_config"] == {
        "moe_backend": "triton", "enable_flashinfer_autotune": False, "enable_jit_warmup": False,
    }  # fmt: skip
    assert made["attention_config"] == {"backend": "FLASH_ATTN"}
    assert (facts.backend, facts.model, facts.notes["vllm"]) == ("vllm", "m", "0.29.0")
    assert facts.device == "NVIDIA GPU 0"
    # The second model runner refuses the guard, from 0.31 on; Triton reads no plain numbers otherwise.
    assert os.environ["VLLM_USE_V2_MODEL_RUNNER"] == "0"
    assert os.environ["TRITON_ALLOW_NON_CONSTEXPR_GLOBALS"] == "1"


def test_the_user_may_have_it_otherwise(fake: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCR_VLLM_OPTIONS", '{"max_num_seqs": 2, "kernel_config": null, "seed": 7}')
    loaded(tmp_path)
    (made,) = fake.made
    assert (made["max_num_seqs"], made["seed"], made["kernel_config"]) == (2, 7, {"enable_jit_warmup": False})
    assert made["skip_mm_profiling"] is True


@pytest.mark.parametrize("text", ["[1]", "much", "{", "3", "[" * 9999])
def test_options_that_are_none(fake: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("OCR_VLLM_OPTIONS", text)
    with pytest.raises(UsageError, match="OCR_VLLM_OPTIONS is no JSON object") as caught:
        loaded(tmp_path)
    assert len(caught.value.message) < 150
    assert not fake.made


@pytest.mark.parametrize(
    ("capability", "version"), [((8, 0), None), ((9, 0), None), ((10, 0), 2), ((10, 3), 2), ((12, 0), None)]
)
def test_attention_is_none_that_is_compiled_when_it_runs(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], version: int | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(capability=capability))
    made = vllm_engine.arguments(Path("m"), vllm_engine.Size(pages=4, cache_bytes=1, share=0.5), {})["attention_config"]
    assert made == {"backend": "FLASH_ATTN", **({"flash_attn_version": version} if version else {})}


@pytest.mark.parametrize(
    ("has_many", "told", "becomes"), [(False, None, "0"), (True, None, "1"), (False, "1", "1"), (True, "0", "0")]
)
@pytest.mark.usefixtures("fake")
def test_an_engine_has_a_process_of_its_own_for_many_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, becomes: str, *, has_many: bool
) -> None:
    if told:
        monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", told)
    loaded(tmp_path, has_many=has_many)
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == becomes


TOKEN = 61_440
PAGE = 8192 * TOKEN


@pytest.mark.parametrize(
    ("gpus", "share", "pages", "cache"),
    [
        (nvml(), "0.9", 4, 4 * PAGE),
        (nvml(), "0.9", 64, 64 * PAGE),
        (nvml(20_000), "0.9", 64, 20_000_000_000 - 4_000_000_000),
        (nvml(), "0.2", 64, int(0.2 * 85_500e6) - 4_000_000_000),
        (nvml(9_000, mig=1), "0.9", 4, 4 * PAGE),
        (nvml(9_000, gpus=2), "0.9", 4, 4 * PAGE),
        (nvml(None), "0.9", 64, 4 * PAGE),
        (nvml(is_there=False), "1", 64, 4 * PAGE),
    ],
    ids=["few", "many", "much is taken", "asked for less", "divided", "one of two", "not told", "unknown"],
)
def test_an_engine_takes_what_it_needs_and_no_more_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: types.ModuleType, share: str, pages: int, cache: int
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", gpus)
    monkeypatch.setenv("OCR_GPU_SHARE", share)
    model = Checkpoint.read(checkpoint(tmp_path / "m"))
    size = vllm_engine.size(model, pages)
    assert abs(size.cache_bytes - cache) <= model.size_bytes + 1
    assert size.pages == pages
    assert size.share <= float(share)


@pytest.mark.parametrize(
    ("free_mb", "share", "said"),
    [(4_200, "0.9", r"4\.2 of 85\.5 GB are free, and vLLM needs 4\.5 GB$"), (80_000, "0.05", "the 5% that OCR_GPU_")],
)
def test_an_engine_that_has_no_room_is_not_started(
    fake: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_mb: int, share: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(free_mb))
    monkeypatch.setenv("OCR_GPU_SHARE", share)
    with pytest.raises(MemoryFullError, match=said) as caught:
        loaded(tmp_path)
    assert caught.value.hint
    assert not fake.made


@pytest.mark.parametrize("share", ["1.5", "0", "much"])
def test_a_share_of_the_gpu_that_is_none(
    fake: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str
) -> None:
    monkeypatch.setenv("OCR_GPU_SHARE", share)
    with pytest.raises(UsageError, match="OCR_GPU_SHARE"):
        loaded(tmp_path)
    assert not fake.made


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"language_config": {"num_attention_heads": 10, "hidden_size": 1280, "num_hidden_layers": 12}}, TOKEN),
        (
            {
                "language_config": {
                    "num_attention_heads": 8,
                    "hidden_size": 64,
                    "num_hidden_layers": 2,
                    "num_key_value_heads": 2,
                }
            },
            128,
        ),
        ({"language_config": "none"}, TOKEN),
        ({"language_config": {"num_attention_heads": 0, "hidden_size": "1280"}}, TOKEN),
    ],
)
def test_bytes_of_a_token(config: dict[str, Any], size: int) -> None:
    assert vllm_engine.token_bytes(config) == size


def test_graphs_are_captured_up_to_the_most_pages() -> None:
    assert vllm_engine.graphs(1) == [1]
    assert vllm_engine.graphs(4) == [1, 2, 4]
    assert vllm_engine.graphs(64) == [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64]


def test_pictures_are_read_together(fake: FakeVllm, tmp_path: Path) -> None:
    engine = loaded(tmp_path)
    fake.script = [[answer("2", "two", "length")], [answer("1", "one")]]
    readings = engine.read([picture(9), picture(8)], request())
    prompts_asked = [asked[0][0][1] for _, asked in fake.asked]
    assert [one["prompt"] for one in prompts_asked] == ["<image>\n<|grounding|>Convert the document to markdown."] * 2
    assert prompts_asked[1]["multi_modal_data"]["image"].size == (8, 8)
    assert [(one.raw, one.tokens, one.finish) for one in readings] == [("one", 3, "stop"), ("two", 3, "length")]
    assert fake.asked[0][1][1].output_kind == "whole"
    assert engine.peak_memory_mb() == (8000.0, "GPU")


def test_the_text_of_one_picture_comes_in_parts(fake: FakeVllm, tmp_path: Path) -> None:
    engine = loaded(tmp_path)
    assert engine.streams
    fake.script = [[answer("1", "Field ", None)], [], [answer("1", "notes", "stop")]]
    parts: list[str] = []
    (reading,) = engine.read([picture()], request(), parts.append)
    assert parts == ["Field ", "notes"]
    assert (reading.raw, reading.tokens) == ("Field notes", 6)
    assert reading.seconds_first_token is not None
    assert fake.asked[0][1][1].output_kind == "parts"


def test_an_interrupted_call_leaves_nothing_to_the_next(fake: FakeVllm, tmp_path: Path) -> None:
    engine = loaded(tmp_path)
    fake.script = [KeyboardInterrupt()]
    with contextlib.suppress(KeyboardInterrupt):
        engine.read([picture()], request())
    assert fake.forgotten == ["1"]
    fake.script = [[answer("1", "of before"), answer("2", "one")]]
    (reading,) = engine.read([picture()], request())
    assert reading.raw == "one"


def test_an_engine_that_loses_a_request_is_no_endless_wait(fake: FakeVllm, tmp_path: Path) -> None:
    engine = loaded(tmp_path)
    fake.script = [[answer("1", "part", None)]]

    def lose() -> None:
        fake.running.clear()

    with pytest.raises(BackendError, match="lost a request"):
        engine.read([picture()], request(), lambda _: lose())


def test_failures_while_reading_are_explained_too(fake: FakeVllm, tmp_path: Path) -> None:
    class CompilationError(Exception):
        pass

    engine = loaded(tmp_path)
    fake.script = [CompilationError('at 1:2:\n    x\nNameError("x")')]
    with pytest.raises(BackendError, match=r'^vLLM failed: NameError\("x"\)$'):
        engine.read([picture()], request())


@dataclasses.dataclass
class Pages:
    """Pictures that are all there."""

    left: list[tuple[int, Image.Image]]

    @classmethod
    def of(cls, count: int) -> Pages:
        return cls([(number, picture()) for number in range(count)])

    @property
    def is_over(self) -> bool:
        return not self.left

    def take(self, *, wait: bool) -> tuple[int, Image.Image] | None:
        del wait
        return self.left.pop(0) if self.left else None


def flow(engine: VllmBackend, pages: Pages, most: int = 4) -> tuple[dict[int, Any], list[str]]:
    said: list[str] = []
    return dict(engine.flow(pages, request(), most, said.append)), said


def test_pages_go_in_as_others_come_out(fake: FakeVllm, tmp_path: Path) -> None:
    engine = loaded(tmp_path, has_many=True)
    seen: list[int] = []
    for number, reading in engine.flow(Pages.of(40), request(), 4, print):
        seen.append(number)
        assert isinstance(reading, Reading)
        assert len(fake.running) <= 4 + 8, "some wait in the engine, not all"
    assert sorted(seen) == list(range(40))


def test_a_page_that_the_engine_refuses_does_not_end_the_others(fake: FakeVllm, tmp_path: Path) -> None:
    engine = loaded(tmp_path, has_many=True)
    found, _ = flow(engine, Pages([(0, picture(1)), (1, picture(9))]))
    assert isinstance(found[0], OcrError)
    assert "one pixel" in found[0].message
    assert found[1].raw == "read 1"
    assert len(fake.made) == 1


def test_an_engine_that_ends_is_started_again_smaller(fake: FakeVllm, tmp_path: Path) -> None:
    engine = loaded(tmp_path, has_many=True)
    assert fake.made[0]["max_num_seqs"] == 64
    fake.script = [[answer("1", "first")], RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")]
    found, said = flow(engine, Pages.of(5), most=64)
    assert sorted(found) == list(range(5))
    assert not [one for one in found.values() if isinstance(one, OcrError)]
    assert [one["max_num_seqs"] for one in fake.made] == [64, 16]
    assert fake.made[1]["kv_cache_memory_bytes"] < fake.made[0]["kv_cache_memory_bytes"]
    assert fake.ended == 1
    (line,) = said
    assert line.startswith("the GPU has not enough memory: CUDA out of memory.")
    assert line.endswith("the engine is started again, for 16 pages at once")


def test_full_memory_that_does_not_end_is_one_error(fake: FakeVllm, tmp_path: Path) -> None:
    engine = loaded(tmp_path, has_many=True)
    fake.script = [RuntimeError("CUDA out of memory")] * 9
    with pytest.raises(MemoryFullError, match="not enough memory"):
        flow(engine, Pages.of(5), most=64)
    assert [one["max_num_seqs"] for one in fake.made] == [64, 16, 4, 1]


def test_a_page_that_ends_the_engine_is_left_out(fake: FakeVllm, tmp_path: Path) -> None:
    engine = loaded(tmp_path, has_many=True)
    broken = RuntimeError("CUDA error: an illegal memory access was encountered")
    fake.script = [broken] * 4
    found, _ = flow(engine, Pages.of(3), most=64)
    assert sorted(found) == [0, 1, 2]
    assert sum(isinstance(one, OcrError) for one in found.values()) == 1
    # Two in a row are no matter of a page.
    fake.script = [broken] * 9
    with pytest.raises(BackendError, match="illegal memory access"):
        flow(engine, Pages.of(3), most=64)


def test_what_vllm_prints_is_no_part_of_the_text(fake: FakeVllm, tmp_path: Path, capfd: Any) -> None:
    """Neither what native libraries write, nor what Python's own stdout still holds."""
    fake.talks = True
    print("before")
    engine = loaded(tmp_path)
    print("between")
    engine.read([picture()], request())
    engine.close()
    print("after")
    said = capfd.readouterr()
    assert said.out == "before\nbetween\nafter\n"
    assert said.err.split() == ["[Gloo]", "engine", "[Gloo]", "step", "[Gloo]", "shutdown"]


def test_full_memory_is_heard_of_from_the_engines_own_process(capfd: Any) -> None:
    heard = vllm_engine.Overheard()
    with heard:
        theirs = os.dup(2)  # as a process has it that is started now
    print("mine", file=sys.stderr, flush=True)
    for piece in (b"torch.OutOfMemoryError: CUDA out of ", b"memory. Tried to allocate 2 GiB"):
        os.write(theirs, piece)
    os.close(theirs)
    heard.wait()
    assert heard.memory_was_full
    said = capfd.readouterr().err
    assert "mine" in said
    assert "CUDA out of memory. Tried" in said


@pytest.mark.parametrize("dead", [False, True])
def test_processes_are_told_to_end_once(fake: FakeVllm, tmp_path: Path, *, dead: bool) -> None:
    fake.dead = dead
    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m")))
    engine.close()
    assert fake.ended == 0, "it has none yet"
    engine.load(lambda _: None)
    engine.close()
    engine.close()
    assert fake.ended == 1


def test_sampling_parameters() -> None:
    assert sampling(request(), [128821, 128822]) == {
        "temperature": 0.0,
        "max_tokens": 8192,
        "skip_special_tokens": False,
        "extra_args": {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [128821, 128822]},
    }
    exact = sampling(request(guard=guard.parse("off"), exact_tokens=64), [])
    assert "extra_args" not in exact
    assert (exact["max_tokens"], exact["min_tokens"], exact["ignore_eos"]) == (64, 64, True)


@pytest.mark.parametrize(("value", "finite"), [(-0.5, True), (float("nan"), False), (float("-inf"), False)])
def test_logits_are_seen_through_log_probabilities(
    fake: FakeVllm, tmp_path: Path, value: float, *, finite: bool
) -> None:
    engine = loaded(tmp_path)
    fake.script = [[answer("1", "x", logprobs=[{7: types.SimpleNamespace(logprob=value)}])]]
    (reading,) = engine.read([picture()], request(exact_tokens=3))
    assert reading.logits is not None
    assert reading.logits.finite is finite


def test_without_a_gpu_that_is_said_before_vllm_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "has_gpu", lambda: False)
    with pytest.raises(BackendError, match="there is no GPU here") as caught:
        VllmBackend(Settings(model=checkpoint(tmp_path / "m"))).load(lambda _: None)
    assert "devenv doctor" in str(caught.value.hint)


@pytest.mark.usefixtures("fake")
def test_it_has_one_mode_and_says_so(tmp_path: Path) -> None:
    engine = VllmBackend(Settings(model=checkpoint(tmp_path / "m")))
    with pytest.raises(UsageError, match="Gundam mode only, not tiny"):
        engine.read([picture()], request(mode=modes.mode("tiny")))


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryFullError, "not enough memory"),
        (ValueError("Free memory on device (3/80 GiB) is less than desired"), MemoryFullError, "not enough memory"),
        (RuntimeError("Engine core initialization failed."), BackendError, "vLLM failed: Engine core"),
    ],
)
def test_failures_have_a_remedy(
    fake: FakeVllm, tmp_path: Path, error: Exception, kind: type[BackendError], said: str
) -> None:
    fake.refuses = error
    with pytest.raises(kind, match=said) as caught:
        loaded(tmp_path)
    assert caught.value.hint


def test_serve_has_what_the_engine_has_and_listens_here_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    monkeypatch.delenv("OCR_GPU_SHARE", raising=False)
    model = checkpoint(tmp_path / "m")
    command = serve_command(model, "the-model", "127.0.0.1", 8001, ("--max-num-seqs", "8"))
    assert command[:3] == ["vllm", "serve", str(model)]
    options = dict(itertools.pairwise(command))
    assert (options["--host"], options["--port"], options["--served-model-name"]) == ("127.0.0.1", "8001", "the-model")
    assert options["--logits-processors"] == "ocr.backends.vllm_guard:RepetitionGuard"
    assert {"--no-enable-prefix-caching", "--skip-mm-profiling"} <= set(command)
    assert options["--compilation-config"].startswith('{"mode": 0')
    assert command[-2:] == ["--max-num-seqs", "8"], "what the user says comes last, and so wins"
