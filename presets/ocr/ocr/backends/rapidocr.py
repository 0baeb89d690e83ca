"""RapidOCR on the processor: lines of text with a box for each, from models that lie inside the package."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

from ocr.backends import Settings
from ocr.engine import Facts, Reading, Request, Say
from ocr.errors import BackendError, UsageError
from ocr.grounding import Block, Box
from ocr.lines import in_order, joined
from ocr.memory import peak_rss_mb

if TYPE_CHECKING:
    from PIL.Image import Image


class RapidOcrBackend:
    """A free engine for each picture under way: an engine keeps state while it reads."""

    name = "rapidocr"
    streams = False

    def __init__(self, settings: Settings) -> None:
        self.model = f"rapidocr {_version()}"
        cores = len(os.sched_getaffinity(0))
        self.concurrency = max(1, min(4, cores))
        self._threads = settings.threads or max(1, min(4, cores))
        self._free: dict[tuple[int, int], list[Any]] = defaultdict(list)
        self._make: Any = None

    def check(self, request: Request) -> None:
        """It reads, and has no tokens."""
        if request.exact_tokens is not None:
            raise UsageError("rapidocr has no tokens: its plumbing cannot be tested alone", hint="--expect text")
        if not request.prompt.reads and request.prompt.name != "locate":
            raise UsageError(
                f"rapidocr reads text, it cannot do {request.prompt.name!r}",
                hint="--prompt markdown, ocr, free or locate",
            )

    def load(self, say: Say) -> Facts:
        """Import the engine. Its models are read at the first picture."""
        began = time.perf_counter()
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise BackendError(
                f"rapidocr cannot be imported: {error}",
                hint="pip install rapidocr onnxruntime, or use the preset rapidocr",
            ) from None
        self._make = RapidOCR
        seconds = time.perf_counter() - began
        say(f"{self.model} imported in {seconds:.2f} s")
        return Facts(backend=self.name, model=self.model, device="cpu", stages={"import": round(seconds, 3)})

    def read(
        self,
        pictures: Sequence[Image],
        request: Request,
        on_text: Callable[[str], None] | None = None,  # noqa: ARG002  (it does not stream)
    ) -> Sequence[Reading]:
        """Read pictures, each in a thread of its own."""
        self.check(request)
        if len(pictures) == 1:
            return [self._one(pictures[0], request, self._threads)]
        each = max(1, self._threads // len(pictures))
        with ThreadPoolExecutor(len(pictures)) as pool:
            return list(pool.map(lambda picture: self._one(picture, request, each), pictures))

    def peak_memory_mb(self) -> tuple[float, Literal["GPU", "RSS"]]:
        """The process's own."""
        return peak_rss_mb(), "RSS"

    def close(self) -> None:
        """Let go of the engines."""
        self._free.clear()

    def _one(self, picture: Image, request: Request, threads: int) -> Reading:
        import numpy as np

        # RapidOCR takes arrays as OpenCV has them: blue first.
        free = self._free[request.mode.base, threads]
        engine = free.pop() if free else self._engine(request.mode.base, threads)
        found = engine(np.asarray(picture)[:, :, ::-1])
        free.append(engine)
        if found.txts is None or found.boxes is None:
            return Reading(raw="", blocks=())
        blocks = in_order(
            Block(kind="text", text=text, boxes=(_upright(corners, picture.size),), score=round(float(score), 4))
            for text, corners, score in zip(found.txts, found.boxes, found.scores, strict=True)
        )
        if request.prompt.wanted is not None:
            wanted = request.prompt.wanted.casefold()
            blocks = tuple(block for block in blocks if wanted in block.text.casefold())
        return Reading(raw=joined(blocks), blocks=blocks)

    def _engine(self, side: int, threads: int) -> Any:
        """A new engine for pictures whose longer side is seen with `side` pixels when lines are looked for."""
        return self._make(
            params={
                "Global.log_level": "error",
                "Global.use_cls": False,  # lines are taken as upright: a page is turned as a whole or not at all
                "Det.limit_type": "max",
                "Det.limit_side_len": side,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )


def _version() -> str:
    try:
        return importlib.metadata.version("rapidocr")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _upright(corners: Any, size: tuple[int, int]) -> Box:
    """The smallest upright box round four corners, inside the picture."""
    across, down = [float(one[0]) for one in corners], [float(one[1]) for one in corners]
    left, top = max(0, int(min(across))), max(0, int(min(down)))
    right, bottom = min(size[0], int(max(across)) + 1), min(size[1], int(max(down)) + 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)
