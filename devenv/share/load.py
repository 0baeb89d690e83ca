"""Pulled layers onto an engine: checked first, then sent in the form that `docker save` writes."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from devenv.doors.terminal.console import bytes_text
from devenv.errors import ShareError
from devenv.share.tars import members

if TYPE_CHECKING:
    from devenv.doors.docker.engine import Engine
    from devenv.doors.terminal.progress import Progress

_CHUNK_BYTES = 1 << 20
_AT_ONCE = 4


class Checks:
    """Layers that are checked, each as soon as it is here."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="check")
        self._begun: dict[Path, Future[None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def failed(self) -> bool:
        """Whether a layer was found wrong."""
        return any(one.done() and one.exception() for one in [*self._begun.values()])

    def begin(self, layer: Path) -> None:
        """Check a layer in another thread. Raises ShareError when an earlier one was found wrong."""
        for one in [*self._begun.values()]:
            if one.done():
                one.result()
        self._begun[layer] = self._pool.submit(check, layer)

    def passed(self, layer: Path) -> None:
        """Wait until a layer was checked, which begins now if it has not. Raises ShareError."""
        if layer not in self._begun:
            self.begin(layer)
        self._begun[layer].result()


def load(
    config: bytes, layers: Sequence[Path], reference: str, engine: Engine, checks: Checks, *, stage: Progress
) -> None:
    """Put an image onto the engine under a tag; the engine compares each layer with the configuration. Raises
    ShareError for a layer that no build of devenv's makes, EngineError."""
    total = sum(layer.stat().st_size for layer in layers)
    for layer in layers:
        checks.passed(layer)
    engine.load(
        _archive(config, layers, reference),
        lambda done: stage.message(f"unpacking, {bytes_text(done)} of {bytes_text(total)}"),
    )


def check(layer: Path) -> None:
    """Raise ShareError for a layer with paths that leave the image, or with devices."""
    with layer.open("rb") as packed, members(packed, f"the layer sha256:{layer.name}", hint="push it again") as every:
        for member, _ in every:
            if why := _fault(member):
                raise ShareError(
                    f"the layer sha256:{layer.name} holds {member.name[:200]!r}, {why}: it is not used",
                    hint="devenv did not push it",
                )


def _fault(member: tarfile.TarInfo) -> str:
    if _leaves(member.name) or (member.islnk() and _leaves(member.linkname)):
        return "which leaves the image"
    if member.ischr() or member.isblk():
        return "a device"
    return ""


def _leaves(name: str) -> bool:
    return name.startswith("/") or any(part in ("..", ".wh...") for part in name.split("/"))


def _archive(config: bytes, layers: Sequence[Path], reference: str) -> Iterator[bytes]:
    """The image as `docker save` writes it, with compressed layers."""
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    told = [{"Config": name, "RepoTags": [reference], "Layers": [path.name for path in layers]}]
    yield from _member(name, len(config), iter([config]))
    for path in layers:
        yield from _member(path.name, path.stat().st_size, _chunks(path))
    listing = json.dumps(told).encode()
    yield from _member("manifest.json", len(listing), iter([listing]))
    yield bytes(1024)


def _member(name: str, size: int, content: Iterator[bytes]) -> Iterator[bytes]:
    member = tarfile.TarInfo(name)
    member.size = size
    yield member.tobuf(tarfile.PAX_FORMAT)
    yield from content
    yield bytes(-size % 512)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as content:
        yield from iter(partial(content.read, _CHUNK_BYTES), b"")
