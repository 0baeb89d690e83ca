"""TIFFs of one channel with more than 8 bits, and pages with nothing on them."""

from __future__ import annotations

import itertools
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from ocr.engine import Reading
from ocr.errors import InputError
from ocr.page import pages
from PIL import Image

from tests.unit.ocr.conftest import Done, FakeEngine, picture

Ocr = Callable[..., Done]
PLAIN, DEFLATED = 1, 8
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1
SIDE = 10


def _tiff(
    path: Path, values: Sequence[float], code: str, *, order: str = "<", packed: int = PLAIN, white: int = BLACK_IS_ZERO
) -> Path:
    """A TIFF written by hand; `code` is struct's for one value."""
    data = struct.pack(f"{order}{len(values)}{code}", *values)
    if packed == DEFLATED:
        data = zlib.compress(data)
    sample = {"H": UNSIGNED, "I": UNSIGNED, "h": SIGNED, "i": SIGNED, "f": FLOAT, "d": FLOAT}[code]
    start = 8 + 2 + 12 * 10 + 4
    tags = [
        (256, SIDE), (257, SIDE), (258, 8 * struct.calcsize(f"<{code}")), (259, packed), (262, white), (273, start),
        (277, 1), (278, SIDE), (279, len(data)), (339, sample),
    ]  # fmt: skip
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    path.write_bytes(head + entries + bytes(4) + data)
    return path


def _levels(path: Path) -> tuple[int, ...]:
    """The grey of the first and the last pixel, and of one in the middle."""
    (page,) = pages(path)
    assert page.image is not None
    grey = page.image.convert("L")
    return tuple(int(grey.getpixel((at, at))) for at in (0, SIDE // 2, SIDE - 1))  # type: ignore[arg-type]


def _ramp(low: float, high: float) -> list[float]:
    values = np.linspace(low, high, SIDE * SIDE)
    return values.tolist()  # type: ignore[no-any-return]


RANGES = {"H": (0, 65535), "I": (0, 2**32 - 1), "h": (0, 32767), "i": (-2000, 2**31 - 1), "f": (0, 1), "d": (0, 1)}


@pytest.mark.parametrize(
    ("code", "order", "packed", "white"),
    list(itertools.product(RANGES, "<>", (PLAIN, DEFLATED), (WHITE_IS_ZERO, BLACK_IS_ZERO))),
)
def test_every_width_and_byte_order_is_scaled_by_its_range(
    tmp_path: Path, code: str, order: str, packed: int, white: int
) -> None:
    values: list[float] = _ramp(*RANGES[code])
    if code not in "fd":
        values = [int(value) for value in values]
    first, middle, last = _levels(_tiff(tmp_path / "a.tif", values, code, order=order, packed=packed, white=white))
    assert (first, last) == ((0, 255) if white == BLACK_IS_ZERO else (255, 0))
    assert 100 < middle < 160


@pytest.mark.parametrize(
    ("code", "low", "high", "levels"),
    [
        ("i", 0, 1000, (0, 255)),
        ("i", -50, 50, (0, 255)),
        ("i", 0, 1, (0, 255)),
        ("i", 0, 255, (0, 255)),
        ("H", 0, 1023, (0, 255)),
        ("H", 0, 4095, (0, 255)),
        ("H", 0x8000, 0x8000, (128, 128)),
        ("f", 0, 255, (0, 255)),
        ("f", 0.5, 1, (128, 255)),  # half of a range is its upper half, not all of it
        ("f", 0, 0.01, (0, 255)),
        ("f", -3, -1, (0, 255)),
        ("f", 0, 0, (0, 0)),
        ("f", -1, -1, (255, 255)),
    ],
)
def test_a_range_that_is_not_filled(
    tmp_path: Path, code: str, low: float, high: float, levels: tuple[int, int]
) -> None:
    values: list[float] = _ramp(low, high)
    if code != "f":
        values = [int(value) for value in values]
    first, _, last = _levels(_tiff(tmp_path / "a.tif", values, code))
    assert (first, last) == levels


def test_what_is_no_number_is_white(tmp_path: Path) -> None:
    values = [0.0, *[1.0] * 54, float("nan"), *[0.5] * 43, float("-inf")]
    assert _levels(_tiff(tmp_path / "a.tif", values, "f")) == (0, 255, 0)
    assert _levels(_tiff(tmp_path / "b.tif", [float("nan")] * 100, "f")) == (255, 255, 255)


def test_a_large_picture_is_scaled_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ocr import deep

    monkeypatch.setattr(deep, "_STRIP", 3 * SIDE)
    assert _levels(_tiff(tmp_path / "a.tif", _ramp(0, 1), "f")) == (0, 142, 255)


@pytest.mark.parametrize("mode", ["I;16B", "F", "I"])
def test_what_pillow_writes(tmp_path: Path, mode: str) -> None:
    top = 1 if mode == "F" else 60000
    kind = {"I;16B": ">u2", "F": "<f4", "I": "<i4"}[mode]
    values = (np.arange(SIDE * SIDE).reshape(SIDE, SIDE) / 99 * top).astype(kind)
    image = Image.frombytes(mode, (SIDE, SIDE), values.tobytes())
    image.save(tmp_path / "a.tif", compression="tiff_lzw" if mode == "I;16B" else None)
    first, middle, last = _levels(tmp_path / "a.tif")
    assert first == 0
    assert 110 < middle < 150
    assert last > 230


def test_pages_of_a_deep_tiff_and_what_its_camera_said(tmp_path: Path) -> None:
    images = [Image.fromarray(np.full((8, 10 + at), 0.5, np.float32)) for at in range(2)]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:], tiffinfo={274: 6})
    assert [one.image and one.image.size for one in pages(tmp_path / "a.tif")] == [(8, 10), (8, 11)]


def test_a_tiff_of_a_kind_that_nobody_reads_is_said_to_be_one(tmp_path: Path) -> None:
    path = _tiff(tmp_path / "a.tif", [0] * 100, "i")
    data = bytearray(path.read_bytes())
    data[8 + 2 + 12 * 9 + 8] = 6  # complex numbers
    path.write_bytes(data)
    with pytest.raises(InputError, match="TIFF of a kind that cannot be read"):
        list(pages(path))


def test_a_page_with_nothing_on_it_is_marked_in_summary_report_and_record(
    ocr: Ocr, tmp_path: Path, engine: FakeEngine
) -> None:
    picture(tmp_path / "in" / "a.png")
    for name in ("b", "c"):
        image = Image.new("RGB", (200, 100), "white")
        image.putpixel((5, 5), (0, 0, 0))
        image.save(tmp_path / "in" / f"{name}.png")
    engine.answers = [Reading(raw="invented"), Reading(raw="\n"), Reading(raw="text")]
    done = ocr("batch", "in", "--json")
    blank = [
        {"source": "a.png", "page": None, "why": "one_colour"},
        {"source": "b.png", "page": None, "why": "no_text"},
    ]
    assert (done.status, json.loads(done.out)["blank"]) == (0, blank)
    assert "2 blank" in done.err
    assert "  a.png: blank: nothing on it" in done.err
    assert "  b.png: blank: no text was found on it" in done.err
    records = [json.loads((tmp_path / "out" / f"{name}.json").read_text())["blank"] for name in "abc"]
    assert records == ["one_colour", "no_text", None]
    assert json.loads(ocr("batch", "in", "--resume", "--json").out)["blank"] == blank


def test_what_is_not_looked_for_everywhere_makes_no_page_blank(ocr: Ocr, tmp_path: Path, engine: FakeEngine) -> None:
    image = Image.new("RGB", (200, 100), "white")
    image.putpixel((5, 5), (0, 0, 0))
    image.save(tmp_path / "a.png")
    engine.answers = [Reading(raw="", blocks=())]
    assert json.loads(ocr("image", "a.png", "--json", "--prompt", "locate", "--find", "Total").out)["blank"] == []
    assert len(json.loads(ocr("image", "a.png", "--json").out)["blank"]) == 1


@pytest.mark.parametrize(("code", "top"), [("f", 1.0), ("i", 1000), ("H", 65535)])
def test_a_deep_page_with_something_on_it_is_not_blank(ocr: Ocr, tmp_path: Path, code: str, top: float) -> None:
    _tiff(tmp_path / "a.tif", [top] * 50 + [0] * 50, code, order=">")
    summary = json.loads(ocr("image", "a.tif", "--json").out)
    assert (summary["read"], summary["blank"]) == (1, [])
    _tiff(tmp_path / "b.tif", [top] * 100, code, order=">")
    assert [one["why"] for one in json.loads(ocr("image", "b.tif", "--json").out)["blank"]] == ["one_colour"]
