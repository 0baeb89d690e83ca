"""What a whole PDF gets besides its pages' files: one markdown, one PDF of all layouts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from ocr.errors import OutputError
from ocr.output import BOXES, FIGURES, LAYOUTS, Place, save
from ocr.page import PDFIUM


def write(target: Place, pages: Sequence[tuple[int, Place, str | None]]) -> tuple[str, ...]:
    """Write the document's files. `pages`: number, where its files are, its text; None for one that could not be read,
    which keeps its place. What could not be made comes back in words. Raises OutputError."""
    folder = target.folder
    parts = [_part(number, place, text, folder) for number, place, text in pages]
    pictures = [place.file(BOXES) for _, place, text in pages if text is not None]
    try:
        save(target.file(".md"), lambda fresh: _text(fresh, "\n\n---\n\n".join(parts) + "\n"))
        if pictures:
            save(target.file(LAYOUTS), lambda fresh: _layouts(fresh, pictures))
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot write to {folder}: {said}", hint="name another folder: -o FOLDER") from None
    except _PdfError as error:  # the pages are there; a PDF of their pictures is not worth an end
        return (f"{target.file(LAYOUTS).name} could not be made: {error.__cause__}",)
    return ()


class _PdfError(Exception):
    """PDFium does not take something."""


def _part(number: int, place: Place, text: str | None, folder: Path) -> str:
    if text is None:
        return f"<!-- page {number}: could not be read -->"
    # Links to figures are relative to the page's own folder.
    inner = place.folder.relative_to(folder).as_posix()
    name = place.file(FIGURES).name
    return f"<!-- page {number} -->\n\n" + text.strip().replace(f"({name}/", f"({inner}/{name}/").replace(
        f"(<{name}/", f"(<{inner}/{name}/"
    )


def _text(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "replace"))


def _layouts(path: Path, pictures: Sequence[Path]) -> None:
    """One PDF page for each picture, at 144 dpi; the JPEGs go in as they are, one after another. Raises _PdfError."""
    import pypdfium2

    try:
        with PDFIUM, contextlib.closing(pypdfium2.PdfDocument.new()) as document:
            for picture in pictures:
                image = pypdfium2.PdfImage.new(document)
                image.load_jpeg(picture, inline=True)
                width, height = image.get_px_size()
                image.set_matrix(pypdfium2.PdfMatrix().scale(width / 2, height / 2))
                with contextlib.closing(document.new_page(width / 2, height / 2)) as page:
                    page.insert_obj(image)
                    page.gen_content()
            document.save(path)
    except pypdfium2.PdfiumError as error:
        raise _PdfError from error
