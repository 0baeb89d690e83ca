"""A job: pages in, files out. Pages are drawn ahead, read several at once, and written behind."""

from __future__ import annotations

import dataclasses
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from ocr import document, output, sources
from ocr.ahead import Ahead
from ocr.engine import Backend, Reading, Request
from ocr.errors import InputError, OcrError, OutputError, explained
from ocr.flow import readings
from ocr.output import Job, Place, Written
from ocr.page import Page, check, is_pdf, pages
from ocr.summary import Outcome

if TYPE_CHECKING:
    from PIL.Image import Image

_OPENERS = min(6, len(os.sched_getaffinity(0)))
_WRITERS = max(2, min(4, len(os.sched_getaffinity(0)) // 4))
_HINT = "save it anew, as PNG or PDF"
_LONGEST_RANGES = 30
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


@dataclasses.dataclass(slots=True, kw_only=True)
class _Entry:
    """An item that is reported in its turn, and its result."""

    thing: _Item | _End
    result: Future[Written] | OcrError | None = None
    seconds: float = 0.0

    @property
    def is_finished(self) -> bool:
        if isinstance(self.thing, _End):
            return True
        return isinstance(self.result, OcrError) or (self.result is not None and self.result.done())


class _Pictures:
    """The pictures among the things that are made ahead, as many at a time as the memory holds."""

    def __init__(self, line: Ahead[_Item | _End], arrive: Callable[[_Item | _End], tuple[int, Image] | None]) -> None:
        self._line = line
        self._arrive = arrive
        self._first: tuple[int, Image] | None = None
        self._held: dict[int, int] = {}

    def has_first(self) -> bool:
        """Wait for the first picture; False when there is none at all."""
        self._first = self.take(wait=True)
        return self._first is not None

    @property
    def is_over(self) -> bool:
        """Whether the last one has been taken."""
        return self._first is None and self._line.is_over

    def take(self, *, wait: bool) -> tuple[int, Image] | None:
        """See `ocr.flow.Pictures`."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        while (thing := self._line.take(wait=wait, fits=lambda _: sum(self._held.values()) < _ROOM)) is not None:
            if (picture := self._arrive(thing)) is not None:
                self._held[picture[0]] = _size(thing)
                return picture
        return None

    def given_back(self, number: int) -> None:
        """Nobody reads it any more."""
        del self._held[number]


class Run:
    """One pass over a plan's sources. `load` is called before the first page is read, and not when there is none to
    read. `log` takes a line for each thing that people may want to know."""

    def __init__(self, plan: Plan, backend: Backend, load: Callable[[], None], log: Callable[[str], None]) -> None:
        self._plan = plan
        self._backend = backend
        self._load = load
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
        self._pending: deque[_Entry] = deque()
        self._read: dict[int, _Entry] = {}
        self._writes: deque[tuple[Future[Written], int]] = deque()
        self._count = 0
        self._began = 0.0

    def all(self, on_text: Callable[[str], None] | None = None) -> tuple[Outcome, ...]:
        """Read everything; `on_text` gets the text as it comes. Raises OutputError, what `load` raises, and UsageError
        for what the backend cannot do at all."""
        plan = self._plan
        self._backend.check(plan.request)
        items = (self._items(source, place) for source, place in plan.places.items())
        openers = min(_OPENERS, len(plan.places))
        ahead = Ahead.of_several(items, openers, 2 * plan.concurrency, _size, _ROOM)
        with ThreadPoolExecutor(_WRITERS) as writers, ahead as line:
            pictures = _Pictures(line, self._arrive)
            if pictures.has_first():
                self._load()
                self._began = time.perf_counter()
                for number, answer in readings(
                    self._backend, pictures, plan.request, plan.concurrency, on_text=on_text, say=self._log
                ):
                    self._answered(number, answer, writers)
                    pictures.given_back(number)
            self._drain(wait=True)
        return tuple(self._outcomes)

    # ---- pages, drawn in threads of their own: each source in one

    def _items(self, source: Path, place: Place) -> Iterator[_Item | _End]:
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

        check(source)
        whole = is_pdf(source)
        settings = {**self._settings, **({"dpi": self._plan.dpi} if whole else {})}
        drawn = pages(source, dpi=self._plan.dpi, wanted=self._plan.wanted, is_done=is_done)
        job = Job(source_sha256=sources.sha256(source), settings=settings)
        for page in drawn:
            at = where(page.number, page.count)
            document_page = whole or page.count > 1
            yield _Item(source=source, page=page, whole=document_page, place=at, job=job, before=found.get(page.number))

    # ---- reading

    def _arrive(self, thing: _Item | _End) -> tuple[int, Image] | None:
        """Put a thing in its place in the reports; the picture, if it has one to read."""
        entry = _Entry(thing=thing)
        self._pending.append(entry)
        picture: tuple[int, Image] | None = None
        if isinstance(thing, _Item):
            if thing.before is not None:
                entry.result = Future()
                entry.result.set_result(thing.before)
            elif thing.page.problem is not None:
                entry.result = thing.page.problem
            else:
                assert thing.page.image is not None
                picture = (self._count, thing.page.image)
                self._read[self._count] = entry
                self._count += 1
        self._drain()
        return picture

    def _answered(self, number: int, answer: Reading | OcrError, writers: ThreadPoolExecutor) -> None:
        entry = self._read.pop(number)
        item = entry.thing
        assert isinstance(item, _Item)
        assert item.page.image is not None
        now = time.perf_counter()
        entry.seconds, self._began = now - self._began, now
        if isinstance(answer, OcrError):
            entry.result = answer
        else:
            entry.result = writers.submit(self._write, item, item.page.image, answer)
            self._writes.append((entry.result, item.size))
        entry.thing = dataclasses.replace(item, page=dataclasses.replace(item.page, image=None))
        while len(self._writes) > 4 * self._plan.concurrency or sum(size for _, size in self._writes) > _ROOM:
            self._writes.popleft()[0].exception()
        self._drain()

    # ---- writing, in threads of their own

    def _write(self, item: _Item, image: Image, reading: Reading) -> Written:
        assert item.place is not None
        assert item.job is not None
        return output.write_page(
            item.place, image, reading, self._plan.request, item.job, item.page.number, item.source.name
        )

    def _drain(self, *, wait: bool = False) -> None:
        """Record, in order, what is finished; with `wait` everything."""
        while self._pending and (wait or self._pending[0].is_finished):
            entry = self._pending.popleft()
            if isinstance(entry.thing, _End):
                self._finish(entry.thing.source)
                continue
            if entry.thing.page.note:
                self._log(entry.thing.page.note)
            assert entry.result is not None
            result = entry.result if isinstance(entry.result, OcrError) else self._came_of(entry.result)
            self._record(entry.thing, result, entry.seconds)

    def _came_of(self, writing: Future[Written]) -> Written | OcrError:
        """A page that was written, or why it was not. Raises OutputError: where one page cannot go, none can."""
        try:
            return writing.result()
        except OutputError:
            raise
        except Exception as error:  # noqa: BLE001  (one page must not end the others)
            return self._explained(error, "its results cannot be made")

    def _explained(self, error: Exception, what: str) -> OcrError:
        """For a report; the log has the traceback of an unexpected error."""
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
            outcome = Outcome(
                source=name,
                page=page,
                status=result.status,
                skipped=skipped,
                tokens=result.tokens,
                blank=result.blank,
            )
            if skipped:
                self._log(f"{outcome.name}: done before")
            else:
                said = {"ok": "", "cut_off": ", CUT OFF", "looped": ", WENT ROUND IN CIRCLES"}[result.status]
                tokens = f", {result.tokens} tokens" if result.tokens else ""
                blank = ", BLANK" if result.blank else ""
                self._log(f"{outcome.name}: {result.blocks} blocks{tokens}, {seconds:.2f} s{said}{blank}")
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
