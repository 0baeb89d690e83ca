"""For notebooks and programs: a reader that keeps its engine, and what it read."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ocr import backends, draw, guard, markdown, modes, prompts
from ocr.backends import Settings
from ocr.engine import MAX_TOKENS, Request
from ocr.grounding import Block
from ocr.memory import give_back
from ocr.output import Status, status_of, understood
from ocr.page import pages

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One page as it was read. `status` is `ok`, `cut_off` or `looped`; `raw` is what the engine said."""

    image: Image
    text: str
    blocks: tuple[Block, ...]
    status: Status
    raw: str

    def boxed(self) -> Image:
        """The page with its blocks framed."""
        return draw.boxed(self.image, self.blocks)

    def figures(self) -> list[Image]:
        """The pictures in the page, cut out."""
        return [cut for _, cut in draw.figures(self.image, self.blocks)]


class Reader:
    """Reads pages with one engine: the environment's own unless another is named; with `with`, or `close`, it is given
    up after. Raises OcrError."""

    def __init__(self, backend: str | None = None, model: str | os.PathLike[str] | None = None) -> None:
        folder = model or os.environ.get("DEVENV_MODEL")
        self._engine = backends.make(backends.chosen(backend), Settings(model=Path(folder) if folder else None))
        self.facts = self._engine.load(lambda _: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the model and the memory that it takes; nothing is read after."""
        self._engine.close()
        give_back()  # a command's process ends, a notebook's goes on

    def read(
        self,
        path: str | os.PathLike[str],
        *,
        page: int = 1,
        prompt: str = prompts.DEFAULT,
        find: str | None = None,
        mode: str = modes.DEFAULT,
        dpi: int = 144,
        max_tokens: int = MAX_TOKENS,
    ) -> Result:
        """Read a picture, or one page of a PDF."""
        found = next(iter(pages(Path(path), dpi=dpi, wanted=[page])))
        if found.problem is not None:
            raise found.problem
        assert found.image is not None
        request = Request(
            prompt=prompts.prompt(prompt, find),
            mode=modes.mode(mode),
            guard=guard.BY_JOB["image"],
            max_tokens=max_tokens,
        )
        reading = self._engine.read([found.image], request)[0]
        answer = understood(reading, found.image.size, request)
        return Result(
            image=found.image,
            text=reading.raw if reading.blocks is not None else markdown.plain(answer, {}),
            blocks=answer.blocks,
            status=status_of(reading),
            raw=reading.raw,
        )
