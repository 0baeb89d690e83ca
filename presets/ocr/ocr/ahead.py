"""Getting the next things ready while the present ones are worked on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


def ahead(things: Iterable[T], most: int, weigh: Callable[[T], int] = lambda _: 0, room: int = 0) -> Iterator[T]:
    """The same things in the same order, made in one thread of their own: at most `most` before they are taken, and,
    beyond one, none that would bring their weight above `room`. An error comes out where the thing would."""
    line = _Line(max(1, most), weigh, room)

    def work() -> None:
        try:
            for thing in things:
                if not line.put(thing):
                    return
        except BaseException as error:  # noqa: BLE001  (it is raised again on the other side)
            line.end(error)
        else:
            line.end(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield from line.taken()
    finally:
        line.close()
        thread.join(timeout=60)


class _Line(Generic[T]):
    """Things that wait to be taken."""

    def __init__(self, most: int, weigh: Callable[[T], int], room: int) -> None:
        self._most, self._weigh, self._room = most, weigh, room
        self._things: deque[T] = deque()
        self._weight = 0
        self._changed = threading.Condition()
        self._is_closed = self._is_over = False
        self._error: BaseException | None = None

    def put(self, thing: T) -> bool:
        """Wait for room, and put it there; False when nobody will take it any more."""
        weight = self._weigh(thing)
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._fits(weight))
            if not self._is_closed:
                self._things.append(thing)
                self._weight += weight
                self._changed.notify_all()
            return not self._is_closed

    def _fits(self, weight: int) -> bool:
        return not self._things or (len(self._things) < self._most and self._weight + weight <= self._room)

    def end(self, error: BaseException | None) -> None:
        with self._changed:
            self._is_over, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def taken(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._things) or self._is_over)
                if not self._things:
                    break
                thing = self._things.popleft()
                self._weight -= self._weigh(thing)
                self._changed.notify_all()
            yield thing
        if self._error is not None:
            raise self._error
