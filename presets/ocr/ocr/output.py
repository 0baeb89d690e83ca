"""Results on disk. Every file is written whole or not at all, a page's JSON last: it marks the page as done."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ocr import draw, markdown
from ocr.engine import Reading, Request
from ocr.errors import OutputError
from ocr.grounding import Answer, parse
from ocr.guard import looped

if TYPE_CHECKING:
    from PIL.Image import Image

Status = Literal["ok", "cut_off", "looped"]
Blank = Literal["one_colour", "no_text"]
FORMAT = 3
LOG = "ocr.log"
SUMMARY = "ocr-summary.json"
BOXES = ".boxes.jpg"
FIGURES = "-figures"
LAYOUTS = ".layouts.pdf"
_FAINTEST = 8
"""Of 255: a smaller difference is not visible."""
_WARNINGS = {
    "cut_off": "this page is not complete: the answer reached the most tokens allowed",
    "looped": "this page may not be complete: the answer went round in circles",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What decides a page's result, for telling whether it is done: the source's hash and all settings."""

    source_sha256: str
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page's files go: `stem` below `folder`; `.md`, `.json` and others are appended to it."""

    folder: Path
    stem: str

    def file(self, ending: str) -> Path:
        """One of the page's files."""
        return self.folder / f"{self.stem}{ending}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A finished page. `blank`: the reason why it is empty."""

    status: Status
    blank: Blank | None
    text: str
    tokens: int
    blocks: int
    files: tuple[Path, ...]


def prepare(folder: Path) -> None:
    """Make the folder and see that it can be written to. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".ocr-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise _unwritable(folder, error) from None


def status_of(reading: Reading) -> Status:
    """Whether an answer is complete."""
    if looped(reading.raw):
        return "looped"
    return "cut_off" if reading.finish == "length" else "ok"


def blank_of(image: Image, reading: Reading, request: Request) -> Blank | None:
    """Why a page counts as blank, if it does: its picture has one colour, or no text was found on it."""
    if all(high - low < _FAINTEST for low, high in image.getextrema()):  # type: ignore[misc]
        return "one_colour"
    is_empty = request.prompt.reads and request.prompt.wanted is None and not reading.raw.strip() and not reading.blocks
    return "no_text" if is_empty else None


def understood(reading: Reading, size: tuple[int, int], request: Request) -> Answer:
    """The reading's blocks: the engine's own, or those in its text."""
    if reading.blocks is not None:
        return Answer(lead="", blocks=reading.blocks)
    return parse(reading.raw, size, request.prompt.refs)


def write_page(
    place: Place, image: Image, reading: Reading, request: Request, job: Job, number: int, source: str
) -> Written:
    """Write all files of one page. Raises OutputError."""
    answer = understood(reading, image.size, request)
    status, blank = status_of(reading), blank_of(image, reading, request)
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        place.file(".json").unlink(missing_ok=True)  # a kill from here on leaves a page that is not done
        figures, cuts = _figures(place, image, answer)
        # Engines that give lines know how these make paragraphs: their text is not put together from blocks.
        text = reading.raw + "\n" if reading.blocks and reading.raw else markdown.plain(answer, figures)
        warning = f"<!-- {_WARNINGS[status]} -->\n\n" if status != "ok" else ""
        # Write this file first: after an interruption, it names the owner of the others.
        files = [_save_text(place.file(".boxes.md"), warning + markdown.with_boxes(answer, figures))]
        files += _save_figures(place.file(FIGURES), cuts)
        files.append(_save_text(place.file(".md"), warning + text))
        files.append(_save_image(place.file(BOXES), draw.boxed(image, answer.blocks)))
        record = {
            "format": FORMAT,
            "source": source,
            "page": number,
            "status": status,
            "blank": blank,
            "width": image.width,
            "height": image.height,
            "tokens": reading.tokens,
            "dropped_boxes": answer.dropped,
            "blocks": [
                {
                    "kind": block.kind,
                    "text": block.text,
                    "boxes": [list(box) for box in block.boxes],
                    **({"score": block.score} if block.score is not None else {}),
                    **({"figures": list(figures[at])} if at in figures else {}),
                }
                for at, block in enumerate(answer.blocks)
            ],
            "raw": reading.raw,
            "files": {file.relative_to(place.folder).as_posix(): file.stat().st_size for file in files},
            "job": dataclasses.asdict(job),
        }
        files.append(_save_text(place.file(".json"), json.dumps(record, ensure_ascii=False, indent=1) + "\n"))
    except OSError as error:
        raise _unwritable(place.folder, error) from None
    return Written(
        status=status,
        blank=blank,
        text=warning + text,
        tokens=reading.tokens,
        blocks=len(answer.blocks),
        files=tuple(files),
    )


def done(place: Place, job: Job) -> Written | None:
    """A page that was finished earlier, from the same source with the same settings, and is all there; else None."""
    wanted = json.loads(json.dumps(dataclasses.asdict(job)))
    try:
        record = json.loads(place.file(".json").read_bytes())
        if record["format"] != FORMAT or record["job"] != wanted:
            return None
        # A file may have been corrected by hand, but what has become empty was lost when the power went.
        if any(size and not (place.folder / name).stat().st_size for name, size in record["files"].items()):
            return None
        return Written(
            status=record["status"],
            blank=record["blank"],
            text=place.file(".md").read_text(encoding="utf-8"),
            tokens=record["tokens"],
            blocks=len(record["blocks"]),
            files=(),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


@contextlib.contextmanager
def log(path: Path, say: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """A log that people see and that a file keeps, with times. Raises OutputError."""
    try:
        file = path.open("a", encoding="utf-8", errors="replace")
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    with file:

        def both(text: str) -> None:
            say(text)
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n")
            file.flush()

        yield both


def save_text(path: Path, text: str) -> Path:
    """Write a text file whole or not at all. Raises OutputError."""
    try:
        return _save_text(path, text)
    except OSError as error:
        raise _unwritable(path.parent, error) from None


def save(path: Path, write: Callable[[Path], None]) -> Path:
    """Write a file under a temporary name, then give it its own. Raises OSError."""
    # Short, for the name may be as long as names can be; files are written by several threads at once.
    fresh = path.with_name(f".ocr-{os.getpid()}-{threading.get_ident()}{path.suffix}")
    try:
        write(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path


def _save_text(path: Path, text: str) -> Path:
    # A model's text may have half a surrogate pair; a file cannot.
    return save(path, lambda fresh: _ignore(fresh.write_bytes(text.encode("utf-8", "replace"))))


def _save_image(path: Path, image: Image) -> Path:
    return save(path, lambda fresh: image.save(fresh, quality=90))


def _ignore(_: object) -> None:
    """For lambdas that have to return nothing."""


def _figures(place: Place, image: Image, answer: Answer) -> tuple[dict[int, list[str]], list[Image]]:
    """The figures: by block their names, relative to the page's folder, and in the same order the cut-outs."""
    names: dict[int, list[str]] = {}
    cuts = []
    for count, (at, cut) in enumerate(draw.figures(image, answer.blocks), 1):
        cuts.append(cut)
        names.setdefault(at, []).append(f"{place.file(FIGURES).name}/{count}.jpg")
    return names, cuts


def _save_figures(folder: Path, cuts: Sequence[Image]) -> list[Path]:
    """Write the figures in place of an earlier reading's; what else lies there is somebody's own."""
    for old in folder.glob("*.jpg"):
        if old.stem.isdecimal():
            old.unlink()
    if cuts:
        folder.mkdir(exist_ok=True)
    elif folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    return [_save_image(folder / f"{count}.jpg", cut) for count, cut in enumerate(cuts, 1)]


def _unwritable(folder: Path, error: OSError) -> OutputError:
    said = (error.strerror or str(error)).lower()
    return OutputError(f"cannot write to {folder}: {said}", hint="name another folder: -o FOLDER")
