"""Pictures that show what was found where, and the figures cut out of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ocr.grounding import Block

if TYPE_CHECKING:
    from PIL.Image import Image

_COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#e377c2", "#8c564b")


def boxed(image: Image, blocks: Sequence[Block]) -> Image:
    """A copy of the page with every block framed and numbered, one colour for each kind."""
    from PIL import ImageDraw, ImageFont

    copy = image.copy()
    pen = ImageDraw.Draw(copy, "RGBA")
    width = max(2, round(max(image.size) / 600))
    font = ImageFont.load_default(size=max(11, round(max(image.size) / 80)))
    kinds = list(dict.fromkeys(block.kind for block in blocks))
    for number, block in enumerate(blocks, 1):
        colour = _COLOURS[kinds.index(block.kind) % len(_COLOURS)]
        for left, top, right, bottom in block.boxes:
            pen.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=width, fill=f"{colour}18")
            label = f"{number} {block.kind}"
            place = pen.textbbox((left, top), label, font=font, anchor="lb" if top > 2 * width + 12 else "lt")
            pen.rectangle(place, fill="#ffffffd0")
            pen.text((place[0], place[1]), label, font=font, fill=colour, anchor="lt")
    return copy


def figures(image: Image, blocks: Sequence[Block]) -> Iterator[tuple[int, Image]]:
    """The pictures in the page: (place of the block in `blocks`, the cut-out), in reading order."""
    for at, block in enumerate(blocks):
        if block.is_figure:
            for box in block.boxes:
                yield at, image.crop(box)
