"""Input of every kind, whole and broken."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import pypdf
import pypdfium2
import pytest
from ocr import page
from ocr.errors import InputError, OcrError
from ocr.page import opened, pages
from PIL import Image

from tests.unit.ocr.conftest import pdf, picture


def _one(path: Path) -> Image.Image:
    (found,) = pages(path)
    assert found.image is not None
    return found.image


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.gif", "a.tiff"])
def test_pictures_of_every_kind(tmp_path: Path, name: str) -> None:
    image = _one(picture(tmp_path / name))
    assert (image.mode, image.size) == ("RGB", (200, 100))


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("1", 1), ("CMYK", (0, 0, 0, 0))])
def test_every_kind_of_pixel_becomes_rgb_on_white(tmp_path: Path, mode: str, colour: object) -> None:
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.new(mode, (20, 10), colour).save(path)  # type: ignore[arg-type]
    assert _one(path).getpixel((5, 5)) == (255, 255, 255)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    Image.new("I;16", (20, 10), 0x8000).save(tmp_path / "a.png")
    assert _one(tmp_path / "a.png").getpixel((5, 5)) == (128, 128, 128)


def test_a_photo_is_turned_as_its_camera_said(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "white")
    exif = image.getexif()
    exif[274] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert _one(tmp_path / "a.jpg").size == (20, 40)


def test_pages_of_a_tiff_are_those_that_are_wanted(tmp_path: Path) -> None:
    images = [Image.new("RGB", (10 + number, 8), "white") for number in range(3)]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    found = list(pages(tmp_path / "a.tif", wanted=[2, 9]))
    assert [(one.number, one.image and one.image.width) for one in found] == [(2, 11), (9, None)]
    assert found[1].problem is not None
    assert found[1].problem.message.endswith("has no page 9")


def test_a_tiff_that_was_cut_off_is_one_clear_error_or_a_page_with_a_problem(tmp_path: Path) -> None:
    images = [Image.effect_noise((60, 40), 50).convert("RGB") for _ in range(3)]
    whole, cut = tmp_path / "a.tif", tmp_path / "cut.tif"
    images[0].save(whole, save_all=True, append_images=images[1:])
    data = whole.read_bytes()
    refused = []
    for size in range(8, len(data), 97):
        cut.write_bytes(data[:size])
        try:
            list(pages(cut))
        except OcrError as error:
            refused.append(error.message)
    assert len(refused) > 20
    assert all("cut.tif" in one for one in refused)


def test_a_tiff_has_pages(tmp_path: Path) -> None:
    images = [Image.new("RGB", (20 + n, 10)) for n in range(3)]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    assert [(one.number, one.count, one.image and one.image.width) for one in pages(tmp_path / "a.tif")] == [
        (1, 3, 20), (2, 3, 21), (3, 3, 22),
    ]  # fmt: skip


def _png(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims this size and holds little."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(bytes(1000))) + part(b"IEND", b"")


@pytest.mark.parametrize("side", [20_000, 10_000])
def test_a_picture_that_is_too_large_is_refused_before_its_pixels_are_read(tmp_path: Path, side: int) -> None:
    (tmp_path / "huge.png").write_bytes(_png(side, side))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"too large: .*limit is 89 million") as caught:
        list(pages(tmp_path / "huge.png"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.hint is not None
    assert peak < 5_000_000


def test_a_picture_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too large"):
        list(pages(picture(tmp_path / "a.png", (30_001, 2))))


def test_bad_files_have_one_clear_error_each(tmp_path: Path) -> None:
    whole = picture(tmp_path / "whole.png", (400, 400)).read_bytes()
    cases: dict[str, tuple[bytes, str]] = {
        "empty.png": (b"", "is empty: 0 bytes"),
        "empty.pdf": (b"", "is empty: 0 bytes"),
        "text.png": (b"just some text\n", "is not an image"),
        "cut.png": (whole[: len(whole) // 2], "is a broken image"),
        "noise.jpg": (b"\xff\xd8\xff" + os.urandom(300), "is not an image|is a broken image"),
        "broken.pdf": (b"%PDF-1.7\nno more", "is a broken PDF"),
        "text.pdf": (b"hello", "is a broken PDF"),
    }
    for name, (data, said) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=said) as caught:
            list(pages(tmp_path / name))
        assert name in caught.value.message
        assert caught.value.hint


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        list(pages(tmp_path / "none.png"))
    with pytest.raises(InputError, match="is a folder") as caught:
        list(pages(tmp_path))
    assert caught.value.hint == f"for all in it: ocr batch {tmp_path}"


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256"])
def test_an_encrypted_pdf(tmp_path: Path, algorithm: str) -> None:
    writer = pypdf.PdfWriter(clone_from=pdf(tmp_path / "a.pdf"))
    writer.encrypt("secret", algorithm=algorithm)
    writer.write(tmp_path / "b.pdf")
    with pytest.raises(InputError, match="is encrypted") as caught:
        list(pages(tmp_path / "b.pdf"))
    assert "qpdf --decrypt" in str(caught.value.hint)


def test_a_pdf_that_anyone_may_open_is_read_whatever_else_it_forbids(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=pdf(tmp_path / "a.pdf"))
    writer.encrypt(
        "", owner_password="owner", algorithm="AES-256", permissions_flag=pypdf.constants.UserAccessPermissions(0)
    )
    writer.write(tmp_path / "b.pdf")
    assert [one.image is not None for one in pages(tmp_path / "b.pdf")] == [True, True]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("surprise")])
def test_a_page_that_cannot_be_drawn_does_not_end_the_others(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = pypdfium2.PdfPage.render
    calls: list[float] = []

    def render(page: pypdfium2.PdfPage, **options: float) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise error
        return drawn(page, **options)

    monkeypatch.setattr(pypdfium2.PdfPage, "render", render)
    first, second = pages(pdf(tmp_path / "a.pdf"))
    assert first.image is None
    assert first.problem is not None
    assert "page 1 of" in first.problem.message
    assert second.image is not None


def test_pages_of_a_pdf_at_the_dpi_asked_for(tmp_path: Path) -> None:
    found = list(pages(pdf(tmp_path / "a.pdf", 3), dpi=72))
    assert [(one.number, one.count) for one in found] == [(1, 3), (2, 3), (3, 3)]
    assert found[0].image is not None
    assert found[0].image.size == (100, 50)
    assert [one.number for one in pages(tmp_path / "a.pdf", wanted=[2, 9])] == [2, 9]
    assert [one.problem and one.problem.message for one in pages(tmp_path / "a.pdf", wanted=[9])] == [
        f"{tmp_path / 'a.pdf'} has no page 9"
    ]


def test_a_pdf_is_known_by_how_it_begins(tmp_path: Path) -> None:
    pdf(tmp_path / "a.pdf").rename(tmp_path / "scan.bin")
    assert len(list(pages(tmp_path / "scan.bin"))) == 2


def test_an_enormous_page_is_drawn_smaller_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_PIXELS", 5000)
    (found, _) = pages(pdf(tmp_path / "a.pdf"))
    assert found.image is not None
    assert found.image.width * found.image.height <= 5100
    assert "drawn at" in str(found.note)


def test_pages_that_are_done_are_not_drawn(tmp_path: Path) -> None:
    found = list(pages(pdf(tmp_path / "a.pdf"), is_done=lambda number, _: number == 1))
    assert [one.image is None for one in found] == [True, False]


def test_a_picture_from_memory() -> None:
    with pytest.raises(InputError, match="the picture is not an image"):
        opened(io.BytesIO(b"text"), "the picture")
