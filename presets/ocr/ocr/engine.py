"""What every backend offers, and what goes to it and comes back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from ocr.grounding import Block
from ocr.guard import Guard
from ocr.modes import Mode
from ocr.prompts import Prompt

if TYPE_CHECKING:
    from PIL.Image import Image

Say = Callable[[str], None]
MAX_TOKENS = 8192


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked about each picture. `exact_tokens`: give just so many tokens and look at the logits (a test of the
    plumbing, for weights that mean nothing)."""

    prompt: Prompt
    mode: Mode
    guard: Guard
    max_tokens: int = MAX_TOKENS
    exact_tokens: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came back about one picture. `blocks`: boxes that the engine found itself; None where they stand in `raw`.
    `tokens`: 0 for engines that have none. `logits`: how they looked, when that was asked for."""

    raw: str
    tokens: int = 0
    finish: Literal["stop", "length"] = "stop"
    blocks: tuple[Block, ...] | None = None
    seconds_first_token: float | None = None
    logits: Logits | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Logits:
    """The logits of all steps: whether they were finite, and how many there are for each step."""

    finite: bool
    width: int | None = None
    expected_width: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What runs where, for reports. `stages`: seconds of what loading consisted of; `notes` are numbers beside them."""

    backend: str
    model: str
    device: str
    stages: Mapping[str, float] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, float | str] = dataclasses.field(default_factory=dict)


class Backend(Protocol):
    """An engine. Making one imports nothing heavy; `load` does, once."""

    name: str
    """The backend's."""
    model: str
    """What it reads with, known before it is loaded: results made with another are not the same."""
    streams: bool
    """Whether `read` hands over text while it comes, for one picture."""
    concurrency: int
    """The number of pictures that `read` takes at once by default."""

    def check(self, request: Request) -> None:
        """Raises UsageError for what it cannot do, before anything is loaded."""

    def load(self, say: Say) -> Facts:
        """Bring the model into memory. Raises BackendError."""

    def read(
        self, pictures: Sequence[Image], request: Request, on_text: Callable[[str], None] | None = None
    ) -> Sequence[Reading]:
        """Read pictures, all at once. Raises BackendError; MemoryFullError when fewer at once may work."""

    def peak_memory_mb(self) -> tuple[float, Literal["GPU", "RSS"]]:
        """The most memory that was in use so far, and which."""

    def close(self) -> None:
        """Give up the model, and the processes that it is in. Whoever made the engine calls this; nothing is read
        after. Raises nothing."""
