"""Cancel one run, even while it waits, without an effect on other runs of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from devenv.errors import CancelledError


class Cancellation:
    """A switch that all slow work gets. `cancel` sets it, and all work under it ends.

    Any thread may call anything here.
    """

    def __init__(self) -> None:
        self._is_set = threading.Event()
        self._ends: dict[object, Callable[[], object]] = {}
        self._guard = threading.Lock()

    @property
    def is_set(self) -> bool:
        """Whether it was cancelled."""
        return self._is_set.is_set()

    def cancel(self) -> None:
        """End all work under it; later work ends at once."""
        with self._guard:
            self._is_set.set()
            ends = tuple(self._ends.values())
        for end in ends:
            end()

    def check(self) -> None:
        """Raise CancelledError when it was cancelled."""
        if self.is_set:
            raise CancelledError

    def wait(self, seconds: float) -> None:
        """Sleep, no longer than until it is cancelled. Raises CancelledError."""
        self._is_set.wait(seconds)
        self.check()

    @contextmanager
    def ending(self, end: Callable[[], object]) -> Iterator[None]:
        """Within the `with`, a cancellation calls `end`; at once when it was before. It is called twice at most."""
        key = object()
        with self._guard:
            self._ends[key] = end
        try:
            if self.is_set:
                end()
            yield
        finally:
            with self._guard:
                del self._ends[key]

    @contextmanager
    def part(self) -> Iterator[Cancellation]:
        """A switch for a part of the work: it is cancelled with this one, or alone."""
        inner = Cancellation()
        with self.ending(inner.cancel):
            yield inner
