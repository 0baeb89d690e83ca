"""An engine with prepared answers, and pictures for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from ocr import backends
from ocr.backends import Settings
from ocr.cli import main
from ocr.engine import Facts, Reading, Request, Say
from ocr.errors import UsageError
from PIL import Image

PAGE = (
    "<|ref|>title<|/ref|><|det|>[[100, 100, 500, 200]]<|/det|>\n# Field notes\n\n"
    "<|ref|>text<|/ref|><|det|>[[100, 300, 900, 400]]<|/det|>\nPaper is made of fibres.\n\n"
    "<|ref|>image<|/ref|><|det|>[[0, 500, 499, 999]]<|/det|>\n"
)


@dataclasses.dataclass
class FakeEngine:
    """Answers in turn, the last one for ever; an exception is raised. Keeps what it was asked."""

    answers: list[Reading | Exception] = dataclasses.field(default_factory=lambda: [Reading(raw=PAGE, tokens=40)])
    name: str = "fake"
    model: str = "tiny"
    streams: bool = False
    concurrency: int = 1
    asked: list[tuple[int, Request]] = dataclasses.field(default_factory=list)
    loaded: int = 0
    closed: int = 0
    made_with: Settings = dataclasses.field(default_factory=Settings)

    def check(self, request: Request) -> None:
        if request.mode.name == "small":
            raise UsageError("not small")

    def load(self, say: Say) -> Facts:
        self.loaded += 1
        say("loaded")
        return Facts(backend=self.name, model=self.model, device="cpu")

    def read(
        self, pictures: Sequence[Any], request: Request, on_text: Callable[[str], None] | None = None
    ) -> Sequence[Reading]:
        assert not self.closed
        self.asked.append((len(pictures), request))
        made = []
        for _ in pictures:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, Exception):
                raise answer
            if on_text:
                on_text(answer.raw)
            made.append(answer)
        return made

    def peak_memory_mb(self) -> tuple[float, Literal["GPU", "RSS"]]:
        assert not self.closed
        return 123.0, "RSS"

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines of tests hold no memory, and the collector would visit everything that pytest has imported."""
    monkeypatch.setattr("ocr.memory.gc", SimpleNamespace(unfreeze=lambda: None, collect=lambda: 0))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine that every command gets."""
    fake = FakeEngine()
    monkeypatch.setenv("OCR_BACKEND", "transformers")
    monkeypatch.delenv("DEVENV_MODEL", raising=False)
    monkeypatch.delenv("DEVENV_SMOKE_EXPECT", raising=False)

    def make(_name: str, settings: Settings) -> FakeEngine:
        fake.made_with, fake.closed = settings, 0
        return fake

    monkeypatch.setattr(backends, "make", make)
    return fake


@dataclasses.dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@pytest.fixture
def ocr(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Run the command in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        status = main(list(arguments))
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run


def picture(path: Path, size: tuple[int, int] = (200, 100)) -> Path:
    """A picture on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "white").save(path)
    return path


def pdf(path: Path, pages: int = 2) -> Path:
    """A PDF of white pages on disk."""
    images = [Image.new("RGB", (200, 100), (255, 255, 250 - number)) for number in range(pages)]
    images[0].save(path, save_all=True, append_images=images[1:], resolution=144)
    return path
