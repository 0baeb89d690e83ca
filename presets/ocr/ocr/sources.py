"""Which files a job reads, and where the results of each go."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ocr.errors import InputError
from ocr.folders import Folder, Leave
from ocr.kinds import PDF, kind
from ocr.output import BOXES, FIGURES, LAYOUTS, LOG, SUMMARY, Place

_LONGEST = 200
_BOXES_STEM = Path(BOXES).stem
_CLAIMED = ("", FIGURES, _BOXES_STEM, ".layouts", ".md", ".json", ".boxes.md", BOXES, LAYOUTS)
_TEXTS = (".boxes.md", ".md", ".json", LAYOUTS)
_PAGED = frozenset({PDF, ".tif", ".tiff"})


def in_folder(folder: Path, output: Path, leave: Leave = lambda _path, _why: None) -> tuple[Path, ...]:
    """Every picture and PDF below a folder, known by its name or by how it begins, sorted; also what cannot be looked
    at. `leave` gets each path that is left out, and why. Raises InputError when there is nothing to read."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", hint="for one file: ocr image FILE, or ocr pdf FILE")
    found = tuple(sorted(Folder(folder, output, _is_result, leave).files()))
    if not found:
        hint = "pictures and PDFs are known by their names and by how they begin"
        raise InputError(f"there is nothing to read in {folder}", hint=hint)
    return found


def _is_result(path: Path) -> bool:
    """Whether a file is one that `ocr` has written, judged by its name and the files beside it."""
    if path.name in {LOG, SUMMARY} or _made(path):
        return True
    ending = next((one for one in _TEXTS if path.name.endswith(one)), None)
    others = (".boxes.md", BOXES, LAYOUTS)
    return ending is not None and _has_beside(path, ending, [one for one in others if one != ending])


def _made(path: Path) -> bool:
    """Whether a file is one that a page's or a document's results consist of: then these lie beside it, or some of them
    where a page was interrupted."""
    for ending, beside in ((BOXES, (".json", ".boxes.md")), (LAYOUTS, (".md",))):
        if path.name.endswith(ending) and _has_beside(path, ending, beside):
            return True
    is_figure = path.suffix == ".jpg" and path.stem.isdecimal() and path.parent.name.endswith(FIGURES)
    return is_figure and _has_beside(path.parent, FIGURES, (".json", ".boxes.md", ".md"))


def _has_beside(path: Path, ending: str, others: Sequence[str]) -> bool:
    return any(path.with_name(path.name.removesuffix(ending) + other).is_file() for other in others)


def places(sources: Sequence[Path], top: Path, output: Path) -> dict[Path, Place]:
    """For each source the place of its results: the same folders below `output`, and its name without the ending.
    Sources whose results would overwrite each other, or a source, keep their endings."""
    relative = {source: source.relative_to(top) for source in sources}
    others = {parent for path in relative.values() for parent in path.parents} | {Path(LOG), Path(SUMMARY)}
    beside = set(relative.values()) if output.resolve() == top.resolve() else set[Path]()
    tries = dict.fromkeys(sources, 0)
    while True:
        claims = {source: _claims(path, tries[source]) for source, path in relative.items()}
        taken = Counter(claim for own in claims.values() for claim in own)
        crossed = [
            source
            for source, own in claims.items()
            if own[0].name.endswith(_BOXES_STEM)  # its name would be that of a result
            or any(taken[one] > 1 or one in others for one in own)
            or not beside.isdisjoint(own[1:])
            or (own[0] in beside and _is_paged(source))
        ]
        if not crossed:
            return {source: Place(folder=output / own[0].parent, stem=own[0].name) for source, own in claims.items()}
        for source in crossed:
            tries[source] += 1


def _is_paged(source: Path) -> bool:
    """Whether a source's pages go to a folder."""
    if source.suffix.lower() in _PAGED:
        return True
    try:
        return kind(source) in {"PDF", "TIFF"}
    except OSError:
        return False


def _claims(path: Path, tried: int) -> tuple[Path, ...]:
    """What a source's results would be called: its own name, which is also that of the folder of its pages, first."""
    name = _short(path.name if tried else path.stem) + "~" * (tried - 1)
    return tuple(path.with_name(name + ending) for ending in _CLAIMED)


def _short(name: str) -> str:
    """A name that stays one when results' endings are appended: file systems allow 255 bytes."""
    data = os.fsencode(name)
    if len(data) <= _LONGEST:
        return name
    return data[: _LONGEST - 9].decode("utf-8", "ignore") + "-" + hashlib.sha256(data).hexdigest()[:8]


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
