"""Pages on their way through an engine: as they come where it can, else some at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ocr.engine import Backend, Reading, Request
from ocr.errors import BackendError, OcrError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Answer = Reading | OcrError
Say = Callable[[str], None]


class Pictures(Protocol):
    """Numbered pictures, made by somebody else meanwhile."""

    @property
    def is_over(self) -> bool:
        """Whether the last one has been taken."""

    def take(self, *, wait: bool) -> tuple[int, Image] | None:
        """The next one. None at the end, while those that were taken fill the memory, and without `wait` also when
        none is ready."""


@runtime_checkable
class Flowing(Protocol):
    """An engine that takes up a page as soon as another one is finished."""

    def flow(self, pictures: Pictures, request: Request, most: int, say: Say) -> Iterator[tuple[int, Answer]]:
        """Read all pictures, at most `most` at once; their numbers with the results, in any order."""


def readings(
    backend: Backend,
    pictures: Pictures,
    request: Request,
    most: int,
    *,
    on_text: Callable[[str], None] | None,
    say: Say,
) -> Iterator[tuple[int, Answer]]:
    """What came of each picture, in any order. `on_text` gets the text of a single one as it comes."""
    if isinstance(backend, Flowing) and on_text is None:
        yield from backend.flow(pictures, request, most, say)
        return
    while chunk := _chunk(pictures, most):
        answers = _read(backend, [image for _, image in chunk], request, on_text, say)
        yield from zip((number for number, _ in chunk), answers, strict=True)


def _chunk(pictures: Pictures, most: int) -> list[tuple[int, Image]]:
    chunk: list[tuple[int, Image]] = []
    while len(chunk) < most and (one := pictures.take(wait=True)) is not None:
        chunk.append(one)
    return chunk


def _read(
    backend: Backend, images: Sequence[Image], request: Request, on_text: Callable[[str], None] | None, say: Say
) -> list[Answer]:
    """Read them together; one by one when that fails."""
    try:
        return list(backend.read(images, request, on_text))
    except UsageError:
        raise
    except OcrError as error:
        if len(images) == 1:
            return [error]
        say(f"{error.message}: now one page at a time")
    except Exception as error:  # noqa: BLE001  (whatever an engine raises about one page must not end the others)
        if len(images) == 1:
            return [failed(error)]
    return [answer for image in images for answer in _read(backend, [image], request, None, say)]


def failed(error: Exception) -> BackendError:
    """An unexpected error of one page."""
    said = (str(error) or type(error).__name__).splitlines()[0]
    return BackendError(f"the engine failed: {said}", hint="try another --mode, or --backend")
