"""A job: pages in, files out. Pages are drawn ahead, read several at once, and written behind."""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from ocr import document, output, sources
from ocr.ahead import ahead
from ocr.engine import Backend, Reading, Request
from ocr.errors import BackendError, InputError, OcrError, OutputError, UsageError, explained
from ocr.output import Job, Place, Written
from ocr.page import Page, is_pdf, pages
from ocr.summary import Outcome

if TYPE_CHECKING:
    from PIL.Image import Image

_WRITERS = 2
_HINT = "save it anew, as PNG or PDF"
_LONGEST_RANGES = 30
_MOST_WAITING = 1000
"""Pages that were done before wait for those that are read with them, but not for ever."""
_ROOM = 1_000_000_000
"""Bytes of pictures that wait to be read, that are read, and that wait to be written: for each of these."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do with every source. `top`: what names in reports are relative to. `wanted`: which pages of a PDF."""

    places: Mapping[Path, Place]
    top: Path
    request: Request
    dpi: int = 144
    concurrency: int = 1
    resume: bool = False
    wanted: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One page on its way. `place` and `job` are None where not even the source could be opened."""

    source: Path
    page: Page
    whole: bool
    place: Place | None = None
    job: Job | None = None
    before: Written | None = None

    @property
    def size(self) -> int:
        """Bytes of its picture: 3 for each pixel."""
        return 3 * self.page.image.width * self.page.image.height if self.page.image is not None else 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """After the last page of a source."""

    source: Path


class Run:
    """One pass over a plan's sources. `load` is called before the first page is read, and not when there is none to
    read. `log` takes a line for each thing that people may want to know."""

    def __init__(self, plan: Plan, backend: Backend, load: Callable[[], None], log: Callable[[str], None]) -> None:
        self._plan = plan
        self._backend = backend
        self._load = load
        self._loaded = False
        self._log = log
        request = plan.request
        self._settings = {
            "backend": backend.name,
            "model": backend.model,
            "prompt": request.prompt.text,
            "mode": request.mode.name,
            "guard": f"{request.guard.size}/{request.guard.window}",
            "max_tokens": request.max_tokens,
        }
        self._outcomes: list[Outcome] = []
        self._parts: dict[Path, list[tuple[int, Place, str | None]]] = {}
        self._pending: deque[tuple[_Item, float, Future[Written] | OcrError]] = deque()

    def all(self, on_text: Callable[[str], None] | None = None) -> tuple[Outcome, ...]:
        """Read everything; `on_text` gets the text as it comes. Raises OutputError, what `load` raises, and UsageError
        for what the backend cannot do at all."""
        self._backend.check(self._plan.request)
        most = self._plan.concurrency
        waiting: list[_Item | _End] = []
        pictures = held = 0
        with ThreadPoolExecutor(_WRITERS) as writers:
            for thing in ahead(self._items(), 2 * most, _size, _ROOM):
                waiting.append(thing)
                size = _size(thing)
                pictures, held = pictures + (size > 0), held + size
                if pictures >= most or held >= _ROOM or len(waiting) >= _MOST_WAITING:
                    self._work(waiting, writers, on_text)
                    waiting, pictures, held = [], 0, 0
            self._work(waiting, writers, on_text)
            self._drain(0)
        return tuple(self._outcomes)

    # ---- pages, drawn in a thread of their own

    def _items(self) -> Iterator[_Item | _End]:
        for source, place in self._plan.places.items():
            try:
                yield from self._pages(source, place)
            except Exception as error:
                if isinstance(error, OutputError):
                    raise
                problem = self._explained(error, "it cannot be read")
                yield _Item(source=source, page=Page(number=0, count=0, image=None, problem=problem), whole=False)
            yield _End(source=source)

    def _pages(self, source: Path, place: Place) -> Iterator[_Item]:
        job: Job | None = None
        found: dict[int, Written] = {}
        whole = False

        def where(number: int, count: int) -> Place:
            return sources.page_place(place, number, count) if whole or count > 1 else place

        def is_done(number: int, count: int) -> bool:
            assert job is not None
            before = output.done(where(number, count), job) if self._plan.resume else None
            if before is not None:
                found[number] = before
            return before is not None

        whole = is_pdf(source)
        settings = {**self._settings, **({"dpi": self._plan.dpi} if whole else {})}
        drawn = pages(source, dpi=self._plan.dpi, wanted=self._plan.wanted, is_done=is_done)
        job = Job(source_sha256=sources.sha256(source), settings=settings)
        for page in drawn:
            at = where(page.number, page.count)
            document_page = whole or page.count > 1
            yield _Item(source=source, page=page, whole=document_page, place=at, job=job, before=found.get(page.number))

    # ---- reading

    def _work(
        self, things: Sequence[_Item | _End], writers: ThreadPoolExecutor, on_text: Callable[[str], None] | None
    ) -> None:
        images = [one.page.image for one in things if isinstance(one, _Item) and one.page.image is not None]
        if images and not self._loaded:
            self._load()
            self._loaded = True
        began = time.perf_counter()
        readings = iter(self._read(images, on_text) if images else ())
        each = (time.perf_counter() - began) / max(1, len(images))
        for thing in things:
            if isinstance(thing, _End):
                self._drain(0)
                self._finish(thing.source)
                continue
            result: Future[Written] | OcrError
            if thing.before is not None:
                result = Future()
                result.set_result(thing.before)
            elif thing.page.problem is not None:
                result = thing.page.problem
            else:
                reading = next(readings)
                result = reading if isinstance(reading, OcrError) else writers.submit(self._write, thing, reading)
            self._pending.append((thing, each, result))
        self._drain(4 * self._plan.concurrency, _ROOM)

    def _read(self, images: Sequence[Image], on_text: Callable[[str], None] | None) -> list[Reading | OcrError]:
        try:
            return list(self._backend.read(images, self._plan.request, on_text))
        except UsageError:
            raise
        except OcrError as error:
            if len(images) == 1:
                return [error]
            self._log(f"{error.message}: now one page at a time")
        except Exception as error:  # noqa: BLE001  (whatever an engine raises about one page must not end the others)
            if len(images) == 1:
                said = (str(error) or type(error).__name__).splitlines()[0]
                return [BackendError(f"the engine failed: {said}", hint="try another --mode, or --backend")]
        return [one for image in images for one in self._read([image], None)]

    # ---- writing, in threads of their own

    def _write(self, item: _Item, reading: Reading) -> Written:
        assert item.place is not None
        assert item.job is not None
        assert item.page.image is not None
        return output.write_page(
            item.place, item.page.image, reading, self._plan.request, item.job, item.page.number, item.source.name
        )

    def _drain(self, most: int, room: int = 0) -> None:
        """Record pages until at most `most` of them, with pictures of at most `room` bytes, are still being written."""
        while len(self._pending) > most or sum(item.size for item, _, _ in self._pending) > room:
            item, seconds, result = self._pending.popleft()
            if item.page.note:
                self._log(item.page.note)
            self._record(item, result if isinstance(result, OcrError) else self._came_of(result), seconds)

    def _came_of(self, writing: Future[Written]) -> Written | OcrError:
        """A page that was written, or why it was not. Raises OutputError: where one page cannot go, none can."""
        try:
            return writing.result()
        except OutputError:
            raise
        except Exception as error:  # noqa: BLE001  (one page must not end the others)
            return self._explained(error, "its results cannot be made")

    def _explained(self, error: Exception, what: str) -> OcrError:
        """For a report; the log has where it came from, if nobody foresaw it."""
        if not isinstance(error, OcrError | MemoryError):
            self._log("".join(traceback.format_exception(error)).rstrip())
        return explained(error, what, InputError, _HINT)

    def _record(self, item: _Item, result: Written | OcrError, seconds: float) -> None:
        name = self._name(item.source)
        page = item.page.number if item.whole else None
        if isinstance(result, OcrError):
            outcome = Outcome(source=name, page=page, status="failed", error=result.message, hint=result.hint)
            self._log(f"{outcome.name}: failed: {result.message}" + (f"; {result.hint}" if result.hint else ""))
        else:
            skipped = item.before is not None
            outcome = Outcome(source=name, page=page, status=result.status, skipped=skipped, tokens=result.tokens)
            if skipped:
                self._log(f"{outcome.name}: done before")
            else:
                said = {"ok": "", "cut_off": ", CUT OFF", "looped": ", WENT ROUND IN CIRCLES"}[result.status]
                tokens = f", {result.tokens} tokens" if result.tokens else ""
                self._log(f"{outcome.name}: {result.blocks} blocks{tokens}, {seconds:.2f} s{said}")
        self._outcomes.append(outcome)
        if item.whole and item.place is not None:
            text = None if isinstance(result, OcrError) else result.text
            self._parts.setdefault(item.source, []).append((item.page.number, item.place, text))

    def _finish(self, source: Path) -> None:
        parts = self._parts.pop(source, None)
        if parts:
            target = self._plan.places[source]
            if self._plan.wanted is not None:  # some pages must not take the place of the whole
                target = dataclasses.replace(target, stem=f"{target.stem}.pages-{_ranges(self._plan.wanted)}")
            for problem in document.write(target, parts):
                self._log(f"{self._name(source)}: {problem}")

    def _name(self, source: Path) -> str:
        return source.relative_to(self._plan.top).as_posix()


def _size(thing: _Item | _End) -> int:
    return thing.size if isinstance(thing, _Item) else 0


def _ranges(numbers: Sequence[int]) -> str:
    """Page numbers, sorted, for a file's name: 1,4-6."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    text = ",".join(str(one[0]) if len(one) == 1 else f"{one[0]}-{one[-1]}" for one in found)
    return text if len(text) <= _LONGEST_RANGES else f"{numbers[0]}-{numbers[-1]}-{len(numbers)}"
