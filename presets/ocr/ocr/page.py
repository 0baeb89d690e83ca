"""Input: pages as pictures, from image files and PDFs, with one clear error for each thing that is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ocr import deep
from ocr.errors import InputError, MemoryFullError, OcrError
from ocr.kinds import FOREIGN, IMAGES, PDF, kind

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

MOST_PIXELS = 89_000_000
"""An A4 page at 900 dpi. As plain pixels that is 270 MB."""
MOST_SIDE = 30_000
"""Drawn results are JPEG files, whose pictures cannot have twice that size."""
PDFIUM = threading.RLock()
"""PDFium allows one call at a time, whatever the document: PDFs are drawn in several threads, and those of
layouts written in another."""
_WARNINGS = threading.Lock()
"""Filters of warnings are the whole program's, and pages are opened in several threads."""
_BOMB = re.compile(r"Image size \(([0-9]+) pixels\).*")
_HINT_IMAGE = "open it in a viewer to see whether it is whole, and save it again as PNG or JPEG"
_HINT_PDF = "open it in a viewer to see whether it is whole, and print it to a new PDF"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page to read: `number` from 1, of `count`. It has no `image` when it was done before, or for its `problem`."""

    number: int
    count: int
    image: Image | None
    problem: OcrError | None = None
    note: str | None = None


def is_pdf(path: Path) -> bool:
    """Whether a file is taken for a PDF: by its name, or by how it begins."""
    if path.suffix.lower() == PDF:
        return True
    try:
        return kind(path) == "PDF"
    except OSError:
        return False


def check(path: Path) -> None:
    """Raises InputError for what is no file with content."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # of one that cannot be listed it is said that it cannot be read
            raise InputError(f"{path} is a folder", hint=f"for all in it: ocr batch {path}")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty: 0 bytes", hint="copy or download it again")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise InputError(
            f"there is no file {path}", hint="check the path; /workspace is where your files are"
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}", hint="check its permissions"
        ) from None


def pages(
    path: Path,
    *,
    dpi: int = 144,
    wanted: Sequence[int] | None = None,
    is_done: Callable[[int, int], bool] = lambda _number, _count: False,
) -> Iterator[Page]:
    """Every page of a PDF or an image, one after another; `wanted` are page numbers. One that `is_done`
    (number, count) is not drawn; one that cannot be drawn comes with its problem. Raises InputError when the file as a
    whole cannot be read."""
    check(path)
    if is_pdf(path):
        yield from _pdf(path, dpi, wanted, is_done)
    else:
        yield from _frames(path, wanted, is_done)


def opened(file: BinaryIO, name: str) -> Image:
    """The picture in an open file; `name` is for messages. Raises InputError, MemoryFullError."""
    with _image(file, name) as image:
        return _upright(name, image)


def _image(file: Path | BinaryIO, name: str) -> ImageFile:
    """An image whose pixels are not read yet."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            deep.teach_pillow()
            return Image.open(file)
    except Image.DecompressionBombError as error:
        raise _too_large(name, _BOMB.sub(r"\1 pixels", str(error).split(",")[0])) from None
    except UnidentifiedImageError:
        raise _no_image(file, name) from None
    except Exception as error:  # noqa: BLE001  (decoders raise anything on broken files)
        raise InputError(f"{name} is a broken image: {_said(error)}", hint=_HINT_IMAGE) from None


def _frames(path: Path, wanted: Sequence[int] | None, is_done: Callable[[int, int], bool]) -> Iterator[Page]:
    with _image(path, str(path)) as image:
        # A TIFF has pages; a GIF has frames, of which the first is the picture.
        try:
            count = int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
        except Exception as error:  # noqa: BLE001  (counting reads the whole file, and a broken one raises anything)
            raise InputError(f"{path} is a broken image: {_said(error)}", hint=_HINT_IMAGE) from None

        def drawn(number: int) -> Page:
            try:
                return Page(number=number, count=count, image=_upright(str(path), image, number - 1))
            except OcrError as error:
                if count == 1:
                    raise
                return Page(number=number, count=count, image=None, problem=error)

        yield from _each(path, count, wanted, is_done, drawn)


def _each(
    path: Path,
    count: int,
    wanted: Sequence[int] | None,
    is_done: Callable[[int, int], bool],
    drawn: Callable[[int], Page],
) -> Iterator[Page]:
    """The pages of a file that has `count`: those that are wanted, drawn unless they are done."""
    for number in wanted if wanted is not None else range(1, count + 1):
        if number > count:
            problem = InputError(f"{path} has no page {number}", hint=f"it has {count}")
            yield Page(number=number, count=count, image=None, problem=problem)
        elif is_done(number, count):
            yield Page(number=number, count=count, image=None)
        else:
            yield drawn(number)


def _upright(name: str, image: ImageFile, frame: int = 0) -> Image:
    """The picture as a viewer shows it: turned as its camera said, on white, in RGB."""
    from PIL import ImageOps

    try:
        if frame:
            image.seek(frame)
        width, height = image.size
        if width * height > MOST_PIXELS or max(width, height) > MOST_SIDE:
            raise _too_large(name, f"{width} × {height} pixels")
        deep.set_byte_order(image)
        image.load()
        upright = ImageOps.exif_transpose(image)
        return flat(deep.eight_bits(upright, image) if deep.is_deep(upright) else upright)
    except OcrError:
        raise
    except MemoryError:
        raise MemoryFullError(f"not enough memory to open {name}", hint="make the picture smaller") from None
    except Exception as error:  # noqa: BLE001  (decoders raise anything on broken files)
        raise InputError(f"{name} is a broken image: {_said(error)}", hint=_HINT_IMAGE) from None


def flat(image: Image) -> Image:
    """A picture of 8 bits as RGB; what is transparent becomes white."""
    from PIL import Image as Pillow

    if "A" in image.getbands() or "transparency" in image.info:
        front = image.convert("RGBA")
        return Pillow.alpha_composite(Pillow.new("RGBA", front.size, "white"), front).convert("RGB")
    return image.convert("RGB")


def _pdf(path: Path, dpi: int, wanted: Sequence[int] | None, is_done: Callable[[int, int], bool]) -> Iterator[Page]:
    import pypdfium2

    from ocr import forms

    try:
        with PDFIUM:
            document = pypdfium2.PdfDocument(path)
            try:
                forms.prepare(document)
                count = len(document)
            except BaseException:
                document.close()  # here: what is forgotten is closed in whatever thread, without the lock
                raise
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            hint = "save a copy without a password: qpdf --decrypt IN OUT"
            raise InputError(f"{path} is encrypted", hint=hint) from None
        raise InputError(f"{path} is a broken PDF: {_said(error)}", hint=_HINT_PDF) from None
    try:
        if count == 0:
            raise InputError(f"{path} has no pages", hint=_HINT_PDF)
        yield from _each(path, count, wanted, is_done, lambda number: _drawn(path, document, number, count, dpi))
    finally:
        with PDFIUM:
            document.close()


def _drawn(path: Path, document: Any, number: int, count: int, dpi: int) -> Page:
    """One page of a PDF as a picture, with its form fields and annotations; smaller than asked when it would be larger
    than any page should be."""
    from ocr import forms

    note = None
    try:
        with PDFIUM, contextlib.closing(document[number - 1]) as page:
            width, height = page.get_size()
            wished = dpi / 72
            most = min(wished, (MOST_PIXELS / (width * height)) ** 0.5, MOST_SIDE / max(width, height))
            if most < wished:
                size = f"{width / 72:.0f} × {height / 72:.0f} inches"
                note = f"page {number} of {path.name} is {size}: drawn at {most * 72:.0f} dpi"
            with contextlib.closing(page.render(scale=most)) as bitmap:
                image = flat(bitmap.to_pil())
                forms.complete(image, page, bitmap.get_posconv(page), path, number)
    except MemoryError:
        full = MemoryFullError(f"not enough memory to draw page {number} of {path}", hint="a smaller --dpi")
        return Page(number=number, count=count, image=None, problem=full)
    except Exception as error:  # noqa: BLE001  (PDFium raises anything on broken pages, and the next may be whole)
        problem = InputError(f"page {number} of {path} cannot be drawn: {_said(error)}", hint=_HINT_PDF)
        return Page(number=number, count=count, image=None, problem=problem)
    return Page(number=number, count=count, image=image, note=note)


def _too_large(name: str, size: str) -> InputError:
    return InputError(
        f"{name} is too large: {size}, and the limit is {MOST_PIXELS / 1e6:.0f} million, {MOST_SIDE} a side",
        hint="make it smaller first: models look at 1280 pixels a side or less, and at tiles of that",
    )


def _no_image(file: Path | BinaryIO, name: str) -> InputError:
    """Why nothing can open it."""
    if not isinstance(file, Path):
        return InputError(f"{name} is not an image, despite its name", hint=_HINT_IMAGE)
    with file.open("rb") as opened_again:
        start = opened_again.read(512)
    found = kind(file)
    if found in FOREIGN:
        return InputError(f"{name} is {found}, which cannot be read", hint="save it as PNG, JPEG or PDF")
    if found is not None:
        return InputError(f"{name} is a broken image, or {found} of a kind that cannot be read", hint=_HINT_IMAGE)
    hint = f"what can be read: {', '.join(sorted(one.strip('.') for one in IMAGES))}, pdf"
    if b"\0" not in start:
        hint = "it is a text file: nothing needs to be recognised in it"
    return InputError(f"{name} is not an image, despite its name", hint=hint)


def _said(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
