"""Layers on their way to a folder: each can be read from its beginning while the rest of it still arrives."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from devenv.errors import ShareError


class Restarted(Exception):  # noqa: N818 (nothing is wrong with the layer that comes now)
    """Bytes that were read turned out to be wrong; the layer begins again."""


@dataclasses.dataclass(slots=True)
class _Layer:
    fd: int
    size: int = 0
    whole: bool = False
    restarts: int = 0


class Incoming:
    """What has arrived so far. `grew` and `placed` are the hooks of `Images.bring`; any thread may call anything."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._layers: dict[Path, _Layer] = {}
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.fail(ShareError("the layers do not arrive any more"))  # for readers that still wait
        with self._changed:
            for layer in self._layers.values():
                os.close(layer.fd)
            self._layers.clear()

    def grew(self, target: Path, part: Path, size: int) -> None:
        """So many bytes of what is to be `target` are in `part` now. Raises what `fail` was given."""
        with self._changed:
            layer = self._known(target, part)
            layer.restarts += size < layer.size
            layer.size = size
            self._changed.notify_all()

    def placed(self, target: Path) -> None:
        """It is whole, and verified. Raises what `fail` was given."""
        with self._changed:
            layer = self._known(target, target)
            layer.size, layer.whole = os.fstat(layer.fd).st_size, True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Whoever brings or reads layers gets the first error."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def opened(self, target: Path) -> Reader:
        """Read a layer, once its first bytes are here."""
        with self._changed:
            self._wait(lambda: target in self._layers)
            layer = self._layers[target]
            return Reader(self, target, os.dup(layer.fd), layer.restarts)

    def until_placed(self, target: Path) -> None:
        """Wait until a layer is whole. Raises what `fail` was given."""
        with self._changed:
            self._wait(lambda: target in self._layers and self._layers[target].whole)

    # ---- for readers

    def reach(self, target: Path, at: int, restarts: int) -> int:
        """Wait for bytes behind `at`; how many are there, 0 at the end of a verified layer. Raises Restarted."""
        with self._changed:
            self._wait(
                lambda: (one := self._layers[target]).whole or one.size > at or one.restarts != restarts
            )  # fmt: skip
            layer = self._layers[target]
            if layer.restarts != restarts:
                raise Restarted
            return layer.size - at

    def _known(self, target: Path, path: Path) -> _Layer:
        if self._failure is not None:
            raise self._failure
        if target not in self._layers:
            self._layers[target] = _Layer(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        return self._layers[target]

    def _wait(self, is_so: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._failure is not None or is_so())
        if self._failure is not None:
            raise self._failure


class Reader:
    """A layer's bytes. A read that returns none comes after all that it returned before were verified."""

    def __init__(self, incoming: Incoming, target: Path, fd: int, restarts: int) -> None:
        self._incoming = incoming
        self._target = target
        self._fd = fd
        self._restarts = restarts
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises Restarted, and what ended the arrival."""
        readable = self._incoming.reach(self._target, self._at, self._restarts)
        data = os.pread(self._fd, min(size, readable), self._at)
        self._at += len(data)
        return data
