"""The backends, with stand-ins for the engines' modules. What needs a GPU is not tested here."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ocr import guard, modes, prompts
from ocr.backends import Settings
from ocr.backends.rapidocr import RapidOcrBackend
from ocr.backends.transformers import TransformersBackend
from ocr.engine import Reading, Request
from ocr.errors import BackendError, MemoryFullError, UsageError
from PIL import Image

from tests.unit.ocr.test_model import checkpoint


def _request(**changes: Any) -> Request:
    made: dict[str, Any] = {
        "prompt": prompts.prompt("markdown"), "mode": modes.mode("gundam"), "guard": guard.BY_JOB["image"], **changes,
    }  # fmt: skip
    return Request(**made)


def nvml(
    free_mb: int | None = 77_500,
    gpus: int = 1,
    mig: int | None = None,
    *,
    is_there: bool = True,
    capability: tuple[int, int] = (9, 0),
) -> types.ModuleType:
    """NVIDIA's management library with GPUs of 85,500 MB; `mig` is None where a GPU cannot be divided,
    `free_mb` where it does not report its memory."""

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
        "nvmlDeviceGetCudaComputeCapability": lambda _: capability,
    }  # fmt: skip
    module.__dict__.update(functions)
    return module


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
