"""Getting the next things ready while the present ones are worked on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """The same things in the same order, made in one thread of their own: at most `most` before they are taken, and,
    beyond one, none that would bring their weight above `room`. An error comes out where the thing would. Used with
    `with`, which ends the thread."""

    def __init__(self, things: Iterable[T], most: int, weigh: Callable[[T], int] = lambda _: 0, room: int = 0) -> None:
        self._source = things
        self._most, self._weigh, self._room = max(1, most), weigh, room
        self._things: deque[T] = deque()
        self._weight = 0
        self._changed = threading.Condition()
        self._is_closed = self._is_made = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._make, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(timeout=60)

    def __iter__(self) -> Iterator[T]:
        while (thing := self.take()) is not None:
            yield thing

    @property
    def is_over(self) -> bool:
        """Whether the last thing has been taken. False while an error waits to come out."""
        with self._changed:
            return self._is_made and not self._things and self._error is None

    def take(self, *, wait: bool = True, fits: Callable[[T], bool] = lambda _: True) -> T | None:
        """The next thing, if it `fits`; else None, as at the end, and without `wait` when none is ready. Raises what
        making it raised."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: bool(self._things) or self._is_made)
            if self._things:
                if not fits(self._things[0]):
                    return None
                thing = self._things.popleft()
                self._weight -= self._weigh(thing)
                self._changed.notify_all()
                return thing
            error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    def _make(self) -> None:
        try:
            for thing in self._source:
                if not self._put(thing):
                    return
        except BaseException as error:  # noqa: BLE001  (it is raised again on the other side)
            self._end(error)
        else:
            self._end(None)

    def _put(self, thing: T) -> bool:
        """Wait for room, and put it there; False when nobody will take it any more."""
        weight = self._weigh(thing)
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._has_room(weight))
            if not self._is_closed:
                self._things.append(thing)
                self._weight += weight
                self._changed.notify_all()
            return not self._is_closed

    def _has_room(self, weight: int) -> bool:
        return not self._things or (len(self._things) < self._most and self._weight + weight <= self._room)

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            self._is_made, self._error = True, error
            self._changed.notify_all()
