"""Engines on several GPUs: threads stand in for their processes."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ocr import backends
from ocr.backends import Settings, fleet, vllm
from ocr.backends.fleet import Fleet
from ocr.engine import Facts, Reading, Request, Say
from ocr.errors import BackendError, MemoryFullError
from ocr.flow import Answer, Pictures
from PIL import Image

from tests.unit.ocr.test_model import checkpoint
from tests.unit.ocr.test_vllm import Pages, request

HERE = threading.local()


class FakeEngine:
    """On one GPU. What `behave` has for that GPU is called for each page."""

    name, model, concurrency = "vllm", "m", 4
    behave: ClassVar[dict[int, Callable[[], None]]] = {}
    fails_to_load: ClassVar[dict[int, Exception]] = {}
    read_on: ClassVar[list[int]] = []

    def __init__(self, settings: Settings) -> None:
        assert settings.has_many

    def check(self, request: Request) -> None:
        pass

    def load(self, say: Say) -> Facts:
        say("loaded")
        if HERE.gpu in self.fails_to_load:
            raise self.fails_to_load[HERE.gpu]
        return Facts(backend="vllm", model="m", device="NVIDIA H100", stages={"load": 1.0 + HERE.gpu})

    def flow(self, pictures: Pictures, request: Request, most: int, say: Say) -> Iterator[tuple[int, Answer]]:
        assert most == 4
        while (one := pictures.take(wait=True)) is not None:
            self.behave.get(HERE.gpu, lambda: None)()
            self.read_on.append(HERE.gpu)
            yield one[0], Reading(raw=f"{one[1].size[0]}")

    def close(self) -> None:
        pass


class Dies(BaseException):
    """A process that ends without a word."""


class FakeProcess:
    def __init__(self, *, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> None:
        assert not daemon, "it has processes of its own"
        self._target, self._args = target, args
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.start, self.is_alive, self.join = self._thread.start, self._thread.is_alive, self._thread.join

    def _run(self) -> None:
        HERE.gpu = self._args[2]
        try:
            self._target(*self._args)
        except Dies:
            self._args[0].close()


class Context:
    """`multiprocessing`, with pipes that are real and stay open on our side only."""

    Process = FakeProcess

    @staticmethod
    def Pipe() -> Any:
        ours, theirs = multiprocessing.Pipe()
        return ours, Kept(theirs)


class Kept:
    """A connection that only its own thread closes."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.send, self.recv, self.poll = connection.send, connection.recv, connection.poll

    def close(self) -> None:
        if hasattr(HERE, "gpu"):  # as the end of a process does, whatever thread reads from it
            with socket.socket(fileno=os.dup(self._connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setattr(FakeEngine, "behave", {})
    monkeypatch.setattr(FakeEngine, "fails_to_load", {})
    monkeypatch.setattr(FakeEngine, "read_on", [])
    monkeypatch.setattr(vllm, "VllmBackend", FakeEngine)
    monkeypatch.setattr(backends, "gpus", lambda: (0, 1))
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: Context())
    before = dict(os.environ)
    made = backends.make("vllm", Settings(model=checkpoint(tmp_path / "m"), has_many=True))
    assert isinstance(made, Fleet)
    yield made
    made.close()
    os.environ.clear()
    os.environ.update(before)


def read(engine: Fleet, count: int = 20) -> tuple[dict[int, Any], list[str]]:
    said: list[str] = []
    pages = Pages([(number, Image.new("RGB", (number + 1, 1))) for number in range(count)])
    return dict(engine.flow(pages, request(), engine.concurrency, said.append)), said


def test_one_picture_needs_one_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "gpus", lambda: (0, 1))
    model = checkpoint(tmp_path / "m")
    assert not isinstance(backends.make("vllm", Settings(model=model)), Fleet)
    monkeypatch.setattr(backends, "gpus", lambda: (0,))
    assert not isinstance(backends.make("vllm", Settings(model=model, has_many=True)), Fleet)


def test_pages_go_to_all_engines_and_come_back_with_their_numbers(engines: Fleet) -> None:
    said: list[str] = []
    facts = engines.load(said.append)
    assert facts.device == "2 × NVIDIA H100"
    assert facts.stages == {"load": 2.0}, "the slowest one's"
    assert sorted(said) == ["GPU 0: loaded", "GPU 1: loaded"]
    assert engines.concurrency == 8
    for _ in range(2):
        found, _ = read(engines, 40)
        assert {number: int(one.raw) for number, one in found.items()} == {number: number + 1 for number in range(40)}
    assert set(FakeEngine.read_on) == {0, 1}
    assert [one.raw for one in engines.read([Image.new("RGB", (7, 1))], request())] == ["7"]


def test_pages_of_an_engine_that_ends_go_to_the_others(engines: Fleet) -> None:
    def die() -> None:
        raise Dies

    FakeEngine.behave[1] = die
    engines.load(lambda _: None)
    found, said = read(engines)
    assert sorted(found) == list(range(20))
    assert set(FakeEngine.read_on) == {0}
    assert said == ["GPU 1: the engine has ended: its pages go to the others"]


def test_an_engine_that_fails_says_why(engines: Fleet) -> None:
    def fail() -> None:
        raise BackendError("vLLM failed: CUDA error")

    FakeEngine.behave[0] = fail
    engines.load(lambda _: None)
    found, said = read(engines)
    assert sorted(found) == list(range(20))
    assert said == ["GPU 0: vLLM failed: CUDA error: its pages go to the others"]


def test_without_any_engine_there_is_one_error(engines: Fleet) -> None:
    def die() -> None:
        raise Dies

    FakeEngine.behave = {0: die, 1: die}
    engines.load(lambda _: None)
    with pytest.raises(BackendError, match="all GPUs have ended"):
        read(engines)


def test_an_engine_that_does_not_start_is_left_out(engines: Fleet) -> None:
    FakeEngine.fails_to_load[1] = MemoryFullError("the GPU has not enough memory", hint="stop what else uses it")
    said: list[str] = []
    assert engines.load(said.append).device == "1 × NVIDIA H100"
    assert "GPU 1 is left out: the GPU has not enough memory" in said
    found, _ = read(engines)
    assert sorted(found) == list(range(20))
    assert set(FakeEngine.read_on) == {0}


def test_when_no_engine_starts_the_error_says_why(engines: Fleet) -> None:
    full = MemoryFullError("the GPU has not enough memory", hint="stop what else uses it")
    FakeEngine.fails_to_load = {0: full, 1: full}
    with pytest.raises(MemoryFullError) as caught:
        engines.load(lambda _: None)
    assert caught.value.hint == "stop what else uses it"


def test_pages_and_answers_that_fill_the_pipes_do_not_wait_for_each_other(
    engines: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither side may stop reading while it sends something large: here the engine answers many pages before it reads the
    next."""

    def flow(_self: Any, pictures: Pictures, *_: Any) -> Iterator[tuple[int, Answer]]:
        while (first := pictures.take(wait=True)) is not None:
            held = [first]
            while len(held) < 9 and (one := pictures.take(wait=False)) is not None:
                held.append(one)
            for number, _ in held:
                yield number, Reading(raw="x" * 200_000)

    monkeypatch.setattr(FakeEngine, "flow", flow)
    engines.load(lambda _: None)
    pages = Pages([(number, Image.new("RGB", (1190, 1684))) for number in range(40)])
    found = dict(engines.flow(pages, request(), engines.concurrency, print))
    assert sorted(found) == list(range(40))


def test_an_engine_that_takes_nothing_does_not_hold_up_the_other(
    engines: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    others, is_enough, in_time = [0], threading.Event(), list[bool]()
    receive = fleet._Arriving._receive
    began = fleet._Arriving.__init__

    def begin(self: Any, connection: Any) -> None:
        self.gpu = HERE.gpu
        began(self, connection)

    def late(self: Any) -> None:
        if self.gpu == 0:
            in_time.append(is_enough.wait(10))
        receive(self)

    def count() -> None:
        others[0] += 1
        if others[0] == 12:  # all that go to it while the other has its first ones still
            is_enough.set()

    monkeypatch.setattr(fleet._Arriving, "__init__", begin)
    monkeypatch.setattr(fleet._Arriving, "_receive", late)
    FakeEngine.behave[1] = count
    engines.load(lambda _: None)
    pages = Pages([(number, Image.new("RGB", (1190, 1684))) for number in range(40)])
    found = dict(engines.flow(pages, request(), engines.concurrency, print))
    assert sorted(found) == list(range(40))
    assert in_time == [True]


def test_pictures_arrive_as_they_were(engines: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, Image.Image] = {}

    def flow(_self: Any, pictures: Pictures, *_: Any) -> Iterator[tuple[int, Answer]]:
        while (one := pictures.take(wait=True)) is not None:
            seen[one[0]] = one[1]
            yield one[0], Reading(raw="")

    monkeypatch.setattr(FakeEngine, "flow", flow)
    engines.load(lambda _: None)
    sent = [Image.effect_noise((31, 17), 90).convert(mode) for mode in ("RGB", "L", "RGB")]
    dict(engines.flow(Pages(list(enumerate(sent))), request(), engines.concurrency, print))
    assert [seen[number] for number in range(3)] == sent


def test_a_page_that_cannot_be_sent_ends_the_work(engines: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Any) -> None:
        raise MemoryError

    engines.load(lambda _: None)
    monkeypatch.setattr(Image.Image, "tobytes", full)
    with pytest.raises(BackendError, match="all GPUs have ended"):
        read(engines, 4)


def test_the_threads_that_send_end_with_the_engines(engines: Fleet) -> None:
    before = set(threading.enumerate())
    engines.load(lambda _: None)
    read(engines)
    engines.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_each_engine_sees_its_own_gpu(engines: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    class Environment(dict[str, str]):
        def __ior__(self, other: Any) -> Any:
            seen.append(dict(other))
            return self

    monkeypatch.setattr(fleet.os, "environ", Environment())
    engines.load(lambda _: None)
    assert sorted(one["CUDA_VISIBLE_DEVICES"] for one in seen) == ["0", "1"]
    assert {one["CUDA_DEVICE_ORDER"] for one in seen} == {"PCI_BUS_ID"}
