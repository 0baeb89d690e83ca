"""Getting the next things ready while the present ones are worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_END = object()


def ahead(things: Iterable[T], most: int) -> Iterator[T]:
    """The same things in the same order, made in one thread of their own, at most `most` before they are taken. An
    error comes out where the thing would."""
    ready: queue.Queue[object] = queue.Queue(max(1, most))
    stop = threading.Event()

    def put(thing: object) -> bool:
        while not stop.is_set():
            try:
                ready.put(thing, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for thing in things:
                if not put(thing):
                    return
        except BaseException as error:  # noqa: BLE001  (it is raised again on the other side)
            put(_Raised(error))
        put(_END)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (thing := ready.get()) is not _END:
            if isinstance(thing, _Raised):
                raise thing.error
            yield thing  # type: ignore[misc]
    finally:
        stop.set()
        thread.join(timeout=60)


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error
