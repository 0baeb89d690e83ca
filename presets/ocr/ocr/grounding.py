"""The model's answer taken apart: blocks with their boxes. An answer is data, and hostile until parsed."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from typing import Any, Literal

GRID = 999
"""Boxes come as whole numbers from 0 to this, whatever the picture's size."""
_MOST_BOXES = 1000
_LONGEST = 20_000
# Nothing between two tags may be another: one that lacks its end would take the blocks after it for its own.
_INSIDE = r"((?:(?!<\|/?(?:ref|det)\|>).)*)"
_SPAN = re.compile(rf"<\|ref\|>{_INSIDE}<\|/ref\|>\s*<\|det\|>{_INSIDE}<\|/det\|>", re.DOTALL)
_MARKS = re.compile(r"<\|/?(?:ref|det|grounding)\|>|<[|｜][^<>|｜]{1,40}[|｜]>")
_FIGURES = frozenset({"image", "figure", "picture", "chart"})

Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of a page. `boxes` are left, top, right, bottom in pixels of the picture, right and bottom exclusive.
    `score` is the confidence, from 0 to 1, of an engine that reports it."""

    kind: str
    text: str
    boxes: tuple[Box, ...]
    score: float | None = None

    @property
    def is_figure(self) -> bool:
        """Whether it is a picture in the page rather than text."""
        return self.kind.lower() in _FIGURES


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer taken apart. `lead` is text before the first block. `dropped` counts boxes that made no sense."""

    lead: str
    blocks: tuple[Block, ...]
    dropped: int = 0


def parse(raw: str, size: tuple[int, int], refs: Literal["kind", "text"] = "kind") -> Answer:
    """The blocks of an answer about a picture of `size` pixels; never raises. Boxes are clipped to the picture; one
    that is no box, or has no area, is dropped and counted."""
    spans = list(_SPAN.finditer(raw))
    blocks, dropped = [], 0
    for span, following in itertools.zip_longest(spans, spans[1:]):
        boxes, bad = _boxes(span[2], size)
        dropped += bad
        after = clean(raw[span.end() : following.start() if following else len(raw)])
        inside = clean(span[1])
        if refs == "text":
            blocks.append(Block(kind="text", text="\n".join(one for one in (inside, after) if one), boxes=boxes))
        else:
            blocks.append(Block(kind=" ".join(inside.split())[:40] or "text", text=after, boxes=boxes))
    return Answer(lead=clean(raw[: spans[0].start()] if spans else raw), blocks=tuple(blocks), dropped=dropped)


def clean(text: str) -> str:
    """Text without the model's own marks."""
    return _MARKS.sub("", text).strip()


def _boxes(text: str, size: tuple[int, int]) -> tuple[tuple[Box, ...], int]:
    """The usable boxes of `[[x1, y1, x2, y2], …]`, and how many were not usable."""
    if len(text) > _LONGEST:
        return (), 1
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return (), 1
    if not isinstance(value, list):
        return (), 1
    if value and not any(isinstance(one, list) for one in value):
        value = [value]  # one box without a list around it
    found = [_box(one, size) for one in value[:_MOST_BOXES]]
    good = tuple(one for one in found if one)
    return good, len(value) - len(good)


def _box(value: Any, size: tuple[int, int]) -> Box | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and -1e6 < one < 1e6 for one in value):
        return None
    width, height = size
    x1, y1, x2, y2 = (min(max(one, 0), GRID) / GRID for one in value)
    if x1 >= x2 or y1 >= y2:
        return None
    return math.floor(x1 * width), math.floor(y1 * height), math.ceil(x2 * width), math.ceil(y2 * height)
