"""What DeepSeek's models see of a picture: one square view of all of it, and tiles. Pixels only, no tensors."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ocr.modes import Mode

if TYPE_CHECKING:
    from PIL.Image import Image

_GREY = (127, 127, 127)
_FEWEST, _MOST = 2, 6
_CELL = 64
"""Pixels a side for which there is one token: patches of 16, of which 4 × 4 are put together."""
_SECOND_TILE = 768


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sides of the whole view and of a tile, in pixels. `stretched`: the picture is not padded but made square."""

    base: int
    tile: int
    crop: bool
    stretched: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """One picture's views. `grid`: columns and rows of tiles; (1, 1) without any."""

    whole: Image
    tiles: tuple[Image, ...]
    grid: tuple[int, int]


def sizes(mode: Mode, *, second: bool) -> Sizes:
    """The sizes for a mode. DeepSeek-OCR-2 (`second`) has two sides only: 768 and 1024."""
    if not second:
        return Sizes(base=mode.base, tile=mode.tile, crop=mode.crop, stretched=not mode.crop and mode.base <= 640)
    if mode.crop:
        return Sizes(base=1024, tile=_SECOND_TILE, crop=True)
    side = _SECOND_TILE if mode.base <= _SECOND_TILE else 1024
    return Sizes(base=side, tile=_SECOND_TILE, crop=False)


def views(picture: Image, wanted: Sizes) -> Views:
    """Cut a picture up."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    tiles: tuple[Image, ...] = ()
    grid = (1, 1)
    if wanted.crop and max(picture.size) > wanted.tile:
        grid = best_grid(picture.size, wanted.tile)
        side = wanted.tile
        large = picture.resize((grid[0] * side, grid[1] * side), Pillow.Resampling.BICUBIC)
        tiles = tuple(
            large.crop((column * side, row * side, (column + 1) * side, (row + 1) * side))
            for row in range(grid[1])
            for column in range(grid[0])
        )
    square = (wanted.base, wanted.base)
    if wanted.stretched:
        whole = picture.resize(square, Pillow.Resampling.BICUBIC)
    else:
        whole = ImageOps.pad(picture, square, Pillow.Resampling.BICUBIC, color=_GREY)
    return Views(whole=whole, tiles=tiles, grid=grid)


def best_grid(size: tuple[int, int], tile: int) -> tuple[int, int]:
    """Columns and rows, 2 to 6 tiles in all, whose shape is nearest to the picture's. Of equally near ones the larger
    wins where the picture fills more than half of it."""
    width, height = size
    grids = sorted(
        (
            (columns, rows)
            for columns in range(1, _MOST + 1)
            for rows in range(1, _MOST + 1)
            if _FEWEST <= columns * rows <= _MOST
        ),
        key=lambda grid: grid[0] * grid[1],
    )
    best, least = (1, 1), float("inf")
    for columns, rows in grids:
        off = abs(width / height - columns / rows)
        if off < least or (off == least and width * height > 0.5 * tile * tile * columns * rows):
            best, least = (columns, rows), off
    return best


def tokens(seen: Views, *, second: bool) -> int:
    """How many tokens stand for a picture: rows of the first model end with one more, and one parts the views."""
    side = seen.whole.width // _CELL
    columns, rows = seen.grid
    small = seen.tiles[0].width // _CELL if seen.tiles else 0
    if second:
        return side * side + 1 + small * small * len(seen.tiles)
    return side * (side + 1) + 1 + rows * small * (columns * small + 1 if seen.tiles else 0)
