"""Getting the next things ready while the present ones are worked on."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class _Source(Generic[T]):
    """What one thread makes, in order. `error` is what ended it."""

    def __init__(self, things: Iterable[T]) -> None:
        self.things = things
        self.made: deque[T] = deque()
        self.is_made = False
        self.error: BaseException | None = None


class Ahead(Generic[T]):
    """The same things in the same order, made in a thread of their own: at most `most` before they are taken, and,
    beyond one, none that would bring their weight above `room`. A thing's weight is known when it is made; until then
    it counts as the heaviest before it. An error comes out where the thing would. Used with `with`, which ends the
    threads."""

    def __init__(self, things: Iterable[T], most: int, weigh: Callable[[T], int] = lambda _: 0, room: int = 0) -> None:
        self._waiting: Iterator[Iterable[T]] = iter((things,))
        self._sources: deque[_Source[T]] = deque()
        self._most, self._weigh, self._room = max(1, most), weigh, room
        self._count = self._weight = self._making = self._heaviest = 0
        self._changed = threading.Condition()
        self._is_closed = self._are_all_begun = False
        self._threads: tuple[threading.Thread, ...] = (threading.Thread(target=self._make, daemon=True),)

    @classmethod
    def of_several(
        cls, sources: Iterable[Iterable[T]], threads: int, most: int, weigh: Callable[[T], int], room: int
    ) -> Self:
        """The things of all sources, one source after another. Several are worked on at once, each by one thread."""
        ahead = cls((), most, weigh, room)
        ahead._waiting = iter(tuple(sources))
        ahead._threads = tuple(threading.Thread(target=ahead._make, daemon=True) for _ in range(max(1, threads)))
        return ahead

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=60)

    def __iter__(self) -> Iterator[T]:
        while (thing := self.take()) is not None:
            yield thing

    @property
    def is_over(self) -> bool:
        """Whether the last thing has been taken. False while an error waits to come out."""
        with self._changed:
            return self._are_all_begun and not self._sources

    def take(self, *, wait: bool = True, fits: Callable[[T], bool] = lambda _: True) -> T | None:
        """The next thing, if it `fits`; else None, as at the end, and without `wait` when none is ready. Raises what
        making it raised."""
        with self._changed:
            if wait:
                self._changed.wait_for(self._is_ready)
            if not self._sources:
                return None
            first = self._sources[0]
            if first.made:
                if not fits(first.made[0]):
                    return None
                thing = first.made.popleft()
                self._count -= 1
                self._weight -= self._weigh(thing)
                self._pass_on()
                return thing
            if first.error is None:
                return None
            self._is_closed = self._are_all_begun = True  # what comes after an error is not wanted
            self._sources.clear()
            self._changed.notify_all()
        raise first.error

    def _is_ready(self) -> bool:
        if not self._sources:
            return self._are_all_begun
        return bool(self._sources[0].made) or self._sources[0].error is not None

    def _pass_on(self) -> None:
        """The first place goes to the first source that is not finished: it may always make its next thing."""
        while self._sources and (first := self._sources[0]).is_made and not first.made and first.error is None:
            self._sources.popleft()
        self._changed.notify_all()

    # ---- in threads of their own

    def _make(self) -> None:
        while (source := self._next_source()) is not None:
            error: BaseException | None = None
            try:
                self._work_on(source)
            except BaseException as raised:  # noqa: BLE001  (it is raised again on the other side)
                error = raised
            with self._changed:
                source.is_made, source.error = True, error
                self._are_all_begun |= error is not None
                self._pass_on()

    def _next_source(self) -> _Source[T] | None:
        """The next item without a worker; None when there is none, or none that is wanted."""
        with self._changed:
            if self._is_closed or self._are_all_begun:
                return None
            things = next(self._waiting, None)
            if things is None:
                self._are_all_begun = True
                self._pass_on()
                return None
            self._sources.append(_Source(things))
            return self._sources[-1]

    def _work_on(self, source: _Source[T]) -> None:
        with contextlib.ExitStack() as stack:
            things = iter(source.things)
            if isinstance(things, Generator):
                stack.callback(things.close)  # in this thread, and not in the one that forgets it last
            while self._may_make(source):
                made: tuple[T, ...] = ()
                try:
                    made = (next(things),)
                except StopIteration:
                    return
                finally:
                    self._put(source, made)

    def _may_make(self, source: _Source[T]) -> bool:
        """Wait for room for its next item; False when no reader is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._has_room(source))
            self._making += not self._is_closed
            return not self._is_closed

    def _has_room(self, source: _Source[T]) -> bool:
        if source is self._sources[0] and not source.made:
            return True
        each = self._heaviest or self._room // len(self._threads)
        weight = self._weight + (self._making + 1) * each
        return self._count + self._making < self._most and weight <= self._room

    def _put(self, source: _Source[T], made: tuple[T, ...]) -> None:
        with self._changed:
            self._making -= 1
            source.made.extend(made)
            self._count += len(made)
            for weight in map(self._weigh, made):
                self._weight += weight
                self._heaviest = max(self._heaviest, weight)
            self._changed.notify_all()
