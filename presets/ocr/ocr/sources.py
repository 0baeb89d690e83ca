"""Which files a job reads, and where the results of each go."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ocr.errors import InputError
from ocr.output import BOXES, FIGURES, LAYOUTS, LOG, Place
from ocr.page import IMAGES, PDF


def in_folder(folder: Path, output: Path) -> tuple[Path, ...]:
    """Every image and PDF below a folder, sorted; hidden ones are left out, and results, of this run or an earlier one.
    Raises InputError when there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", hint="for one file: ocr image FILE, or ocr pdf FILE")
    results = {log.parent.resolve() for log in folder.rglob(LOG)} | {output.resolve()}
    results.discard(folder.resolve())  # results beside their sources are known by their names
    found = tuple(
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGES | {PDF}
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not _made(path)
        and results.isdisjoint(path.resolve().parents)
        and path.is_file()
    )
    if not found:
        kinds = ", ".join(sorted(one.strip(".") for one in IMAGES | {PDF}))
        raise InputError(f"there is nothing to read in {folder}", hint=f"files are taken by their names: {kinds}")
    return found


def _made(path: Path) -> bool:
    """Whether a file is one that a page's or a document's results consist of: then these lie beside it."""
    for at, ending, beside in ((path, BOXES, ".json"), (path, LAYOUTS, ".md"), (path.parent, FIGURES, ".json")):
        if at.name.endswith(ending) and at.with_name(at.name.removesuffix(ending) + beside).is_file():
            return True
    return False


def places(sources: Sequence[Path], top: Path, output: Path) -> dict[Path, Place]:
    """For each source the place of its results: the same folders below `output`. Sources that differ in nothing but
    their endings keep them, so that none overwrites another."""
    relative = {source: source.relative_to(top) for source in sources}
    taken = Counter(path.with_suffix("") for path in relative.values())
    return {
        source: Place(folder=output / path.parent, stem=path.name if taken[path.with_suffix("")] > 1 else path.stem)
        for source, path in relative.items()
    }


def page_place(document: Place, number: int, count: int) -> Place:
    """Where the results of one page of a document go: in a folder of the document's name."""
    width = max(4, len(str(count)))
    return Place(folder=document.folder / document.stem, stem=f"page-{number:0{width}}")


def sha256(path: Path) -> str:
    """A file's hash. Raises InputError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}", hint="check its permissions"
        ) from None
