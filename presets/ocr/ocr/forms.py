"""Form fields and stamps of a PDF: PDFium draws them in its form environment; what it leaves out is added here."""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pypdfium2
import pypdfium2.raw as pdfium

if TYPE_CHECKING:
    from PIL.Image import Image

_BOXES = frozenset({pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON})
_UNSEEN = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")

Place = tuple[float, float, float, float]


def prepare(document: Any) -> None:
    """Let a document's fields be drawn, also those that are in no form: joining files loses the form and keeps them.
    Must come before its pages are counted. Nothing in the document is run. Raises PdfiumError."""
    config = pdfium.FPDF_FORMFILLINFO(version=2)
    environment = pdfium.FPDFDOC_InitFormFillEnvironment(document, config)
    if not environment:
        raise pypdfium2.PdfiumError("its form cannot be opened")
    document.formenv = pypdfium2.PdfFormEnv(environment, config)


def complete(image: Image, page: Any, position: Any, path: Path, number: int) -> None:
    """Draw into a page's picture what PDFium has no appearance for: ticks, and stamps that have only a name.
    `position` takes places on the page to places in the picture. Raises PdfiumError."""
    boxes: dict[int, Place] = {}
    stamps: list[tuple[str, Place]] = []
    for at, annotation in _annotations(page):
        if pdfium.FPDFAnnot_GetFlags(annotation) & _UNSEEN:
            continue
        subtype = pdfium.FPDFAnnot_GetSubtype(annotation)
        if subtype == pdfium.FPDF_ANNOT_WIDGET and _is_empty_box(page, annotation):
            boxes[at] = _place(annotation, position)
        elif subtype == pdfium.FPDF_ANNOT_STAMP and not pdfium.FPDFAnnot_HasKey(annotation, b"AP"):
            stamps.append((_value(annotation, b"Name") or "Draft", _place(annotation, position)))
    for at in _ticked(path, number) & boxes.keys() if boxes else ():
        _tick(image, boxes[at])
    for name, place in stamps:
        _stamp(image, _WORDS.sub(" ", name).upper(), place)


def _annotations(page: Any) -> Iterator[tuple[int, Any]]:
    for at in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, at)
        if annotation:
            try:
                yield at, annotation
            finally:
                pdfium.FPDFPage_CloseAnnot(annotation)


def _is_empty_box(page: Any, annotation: Any) -> bool:
    """Whether it is a checkbox or a radio button that PDFium draws without a tick."""
    kind = pdfium.FPDFAnnot_GetFormFieldType(page.formenv, annotation)
    return kind in _BOXES and not pdfium.FPDFAnnot_IsChecked(page.formenv, annotation)


def _ticked(path: Path, number: int) -> set[int]:
    """Which annotations of a page are on, by their value or their state: programs that fill in forms may set only one.
    The form environment sets to off what it has no appearance for, so this is read from the file again, without it."""
    with (
        contextlib.closing(pypdfium2.PdfDocument(path)) as document,
        contextlib.closing(document[number - 1]) as page,
    ):
        return {
            at
            for at, annotation in _annotations(page)
            if not {_value(annotation, b"AS"), _value(annotation, b"V")} <= {"", "Off"}
        }


def _value(annotation: Any, key: bytes) -> str:
    def call(buffer: Any, size: int) -> int:
        return int(pdfium.FPDFAnnot_GetStringValue(annotation, key, buffer, size))

    return _utf16(call)


def _utf16(call: Callable[[Any, int], int]) -> str:
    size = call(None, 0)
    buffer = ctypes.create_string_buffer(size)
    call(ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw[: max(0, size - 2)].decode("utf-16-le", "replace")


def _place(annotation: Any, position: Any) -> Place:
    """Where it is in the picture: left, top, right, bottom."""
    rect = pdfium.FS_RECTF()
    pdfium.FPDFAnnot_GetRect(annotation, rect)
    corners = [position.to_bitmap(x, y) for x, y in ((rect.left, rect.bottom), (rect.right, rect.top))]
    across, down = sorted(x for x, _ in corners), sorted(y for _, y in corners)
    return across[0], down[0], across[1], down[1]


def _tick(image: Image, place: Place) -> None:
    """A cross: a tick may be taken for the letter v."""
    from PIL import ImageDraw

    left, top, right, bottom = place
    inset = min(right - left, bottom - top) / 5
    box = left + inset, top + inset, right - inset, bottom - inset
    width = max(2, round(inset / 2))
    pen = ImageDraw.Draw(image)
    pen.line((box[0], box[1], box[2], box[3]), fill="black", width=width)
    pen.line((box[0], box[3], box[2], box[1]), fill="black", width=width)


def _stamp(image: Image, text: str, place: Place) -> None:
    from PIL import ImageDraw, ImageFont

    left, top, right, bottom = place
    height = bottom - top
    if height < 1 or right - left < 1:
        return
    pen = ImageDraw.Draw(image)
    whole = pen.textlength(text, font=ImageFont.load_default(size=height))
    font = ImageFont.load_default(size=max(1, min(0.7 * height, 0.9 * height * (right - left) / max(whole, 1))))
    pen.rectangle(place, outline="black", width=max(1, round(height / 20)))
    pen.text(((left + right) / 2, (top + bottom) / 2), text, font=font, fill="black", anchor="mm")
