"""Pictures with more than 8 bits a pixel: what Pillow does not know of their TIFFs, and how they become 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_TOPS = (1, 255, 4095, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**32 - 1)
"""What white is in the ranges that are in use."""
_FILLED = 0.25
"""The share of such a range that values must take up; else they are spread over their own."""
_STRIP = 1_000_000
_WHITE_IS_ZERO = 0
_PHOTOMETRIC, _BITS, _SAMPLES = 262, 258, 339
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_RAW = {
    (b"II", _UNSIGNED, 16): ("I;16", "I;16"),
    (b"MM", _UNSIGNED, 16): ("I;16B", "I;16B"),
    (b"II", _SIGNED, 16): ("I", "I;16S"),
    (b"MM", _SIGNED, 16): ("I", "I;16BS"),
    (b"II", _UNSIGNED, 32): ("I", "I;32"),
    (b"MM", _UNSIGNED, 32): ("I", "I;32B"),
    (b"II", _SIGNED, 32): ("I", "I;32S"),
    (b"MM", _SIGNED, 32): ("I", "I;32BS"),
    (b"II", _FLOAT, 32): ("F", "F;32F"),
    (b"MM", _FLOAT, 32): ("F", "F;32BF"),
    (b"II", _FLOAT, 64): ("F", "F;64F"),
    (b"MM", _FLOAT, 64): ("F", "F;64BF"),
}
_NATIVE = {
    "I;16BS": "I;16NS", "I;32": "I;32N", "I;32B": "I;32N", "I;32S": "I;32NS", "I;32BS": "I;32NS", "F;32F": "F;32NF",
    "F;32BF": "F;32NF", "F;64F": "F;64NF", "F;64BF": "F;64NF",
}  # fmt: skip


def teach_pillow() -> None:
    """Let Pillow open TIFFs of one channel of every byte order, sign and width, also those in which white is 0."""
    from PIL import TiffImagePlugin

    for (order, samples, bits), modes in _RAW.items():
        for photometric in (0, 1):
            key = (order, photometric, (samples,), 1, (bits,), ())
            TiffImagePlugin.OPEN_INFO.setdefault(key, modes)


def set_byte_order(image: ImageFile) -> None:
    """Before its pixels are read: libtiff gives them in this machine's order, and Pillow heeds that for some kinds."""
    image.tile = [
        tile._replace(args=(_NATIVE.get(tile.args[0], tile.args[0]), *tile.args[1:]))
        if tile.codec_name == "libtiff" and isinstance(tile.args, tuple)
        else tile
        for tile in image.tile
    ]


def is_deep(image: Image) -> bool:
    """Whether it has one channel of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def eight_bits(image: Image, opened: ImageFile) -> Image:
    """A deep picture as grey levels, scaled by range: one that is in use (0 to 1, 255, 65535 …) if the values fill it,
    else their own. `opened` is the file that it is from. What is no number is white."""
    import numpy as np
    from PIL import Image as Pillow

    tags: Any = getattr(opened, "tag_v2", {})
    is_unsigned = tags.get(_BITS) == (32,) and tags.get(_SAMPLES, (_UNSIGNED,)) == (_UNSIGNED,)
    low, high = np.inf, -np.inf
    for _, values in _strips(image, is_unsigned=is_unsigned):
        known = values[np.isfinite(values)]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    bottom, top = _range(low, high) if low <= high else (0.0, 1.0)
    grey = Pillow.new("L", image.size)
    for row, values in _strips(image, is_unsigned=is_unsigned):
        share = (values.astype(np.float64) - bottom) / (top - bottom)
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            share = 1 - share
        level = np.rint(255 * np.nan_to_num(share, nan=1.0, posinf=1.0, neginf=0.0).clip(0, 1))
        grey.paste(Pillow.fromarray(level.astype(np.uint8)), (0, row))
    return grey


def _strips(image: Image, *, is_unsigned: bool) -> Iterator[tuple[int, Any]]:
    """Rows at a time, for the whole takes several times its size."""
    import numpy as np

    count = max(1, _STRIP // image.width)
    for row in range(0, image.height, count):
        values = np.asarray(image.crop((0, row, image.width, min(row + count, image.height))))
        yield row, values.view(np.uint32) if is_unsigned and values.dtype == np.int32 else values


def _range(low: float, high: float) -> tuple[float, float]:
    for top in _TOPS:
        if low >= 0 and high <= top and (high - low >= _FILLED * top or low == high):
            return 0.0, float(top)
    return (low, high) if low < high else (low - 1, low)
