"""Compute a value once, however many threads ask for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from devenv.errors import DevenvError

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")


class Once(Generic[_K, _T]):
    """Values by key, each made by the first thread that asks, while others wait for it. A DevenvError is kept too."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._making: dict[_K, threading.Lock] = {}
        self._values: dict[_K, _T | DevenvError] = {}

    def get(self, key: _K, make: Callable[[], _T]) -> _T:
        """The value of a key. Raises what `make` raised; it is called again only for errors of other kinds."""
        if key not in self._values:
            with self._guard:
                making = self._making.setdefault(key, threading.Lock())
            with making:
                if key not in self._values:
                    try:
                        self._values[key] = make()
                    except DevenvError as error:
                        self._values[key] = error
        value = self._values[key]
        if isinstance(value, DevenvError):
            raise value
        return value

    def made(self) -> tuple[_T, ...]:
        """The values so far."""
        return tuple(value for value in self._values.copy().values() if not isinstance(value, DevenvError))
