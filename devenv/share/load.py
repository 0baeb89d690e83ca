"""Layers onto an engine while they arrive: checked, and sent in the form that `docker save` writes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from devenv.doors.terminal.console import bytes_text
from devenv.doors.thread import in_thread, outcome
from devenv.errors import ShareError
from devenv.share.incoming import Incoming, Restarted
from devenv.share.tars import members

if TYPE_CHECKING:
    from devenv.doors.cancellation import Cancellation
    from devenv.doors.docker.engine import Engine
    from devenv.doors.http.registry.manifest import Descriptor
    from devenv.doors.terminal.progress import Progress
    from devenv.share.tars import Readable

_CHUNK_BYTES = 1 << 20
_AT_ONCE = 4


@contextlib.contextmanager
def loading(
    config: bytes, layers: Sequence[Descriptor], reference: str, engine: Engine, folder: Path, *, stage: Progress,
    cancel: Cancellation, known: int = 0,
) -> Iterator[Incoming]:  # fmt: skip
    """Within the `with`, the layers are brought to the folder, with these hooks; after it, the engine has the image
    under a tag. The engine gets each byte as it arrives, uses none before all are there and were checked, and compares
    each layer with the configuration. It has the first `known` layers already: nobody brings these.

    Raises ShareError for a layer that no build of devenv's makes, and removes all of them; EngineError, CancelledError.
    """
    arriving = {folder / layer.hex: layer.size for layer in sorted(layers[known:], key=lambda one: -one.size)}
    total = sum(arriving.values())

    def load() -> None:
        while True:
            with contextlib.suppress(Restarted):  # the engine drops an archive that has no end
                engine.load(
                    _archive(config, [layer.hex for layer in layers], reference, _layers(arriving, incoming, checks)),
                    lambda done: stage.message(f"unpacking, {bytes_text(done)} of {bytes_text(total)}"),
                )
                return

    with Incoming() as incoming, _Checks(arriving, incoming) as checks:
        work = in_thread("load", load)
        work.add_done_callback(lambda done: incoming.fail(error) if (error := done.exception()) else None)
        try:
            yield incoming
            stage.message("unpacking")
            outcome(work, cancel)
        except ShareError:
            if checks.failed:  # no later run would take them either
                for path in arriving:
                    path.unlink(missing_ok=True)
            raise


class _Checks:
    """Each layer is checked while it arrives. One that is found wrong ends the arrival of all."""

    def __init__(self, layers: Iterable[Path], incoming: Incoming) -> None:
        self._incoming = incoming
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="check")
        self._begun = [self._pool.submit(self._check, layer) for layer in layers]
        self.failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def passed(self) -> None:
        """Wait until all were checked. Raises ShareError, and what ended the arrival."""
        for one in self._begun:
            one.result()

    def _check(self, layer: Path) -> None:
        # Before a layer is verified, its bytes may be other ones: what is found wrong in them does not count.
        with contextlib.suppress(ShareError, Restarted), self._incoming.opened(layer) as packed:
            check(layer.name, packed)
            return
        self._incoming.until_placed(layer)
        try:
            with layer.open("rb") as packed:
                check(layer.name, packed)
        except ShareError as error:
            self.failed = True
            self._incoming.fail(error)
            raise


def check(name: str, packed: Readable) -> None:
    """Read a layer to its end. Raises ShareError for paths that leave the image, and for devices."""
    with members(packed, f"the layer sha256:{name}", hint="push it again") as every:
        for member, _ in every:
            if why := _fault(member):
                raise ShareError(
                    f"the layer sha256:{name} holds {member.name[:200]!r}, {why}: it is not used",
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


def _archive(config: bytes, layers: Sequence[str], reference: str, content: Iterator[bytes]) -> Iterator[bytes]:
    """The image as `docker save` writes it, with compressed layers; what makes an image of them comes last."""
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    listing = json.dumps([{"Config": name, "RepoTags": [reference], "Layers": layers}]).encode()
    yield from _member(name, len(config), iter([config]))
    yield from content
    yield from _member("manifest.json", len(listing), iter([listing]))
    yield bytes(1024)


def _layers(layers: Mapping[Path, int], incoming: Incoming, checks: _Checks) -> Iterator[bytes]:
    """The layers' members; they end when all were verified and checked."""
    for path, size in layers.items():
        with incoming.opened(path) as content:
            yield from _member(path.name, size, iter(partial(content.read, _CHUNK_BYTES), b""))
    checks.passed()


def _member(name: str, size: int, content: Iterator[bytes]) -> Iterator[bytes]:
    member = tarfile.TarInfo(name)
    member.size = size
    yield member.tobuf(tarfile.PAX_FORMAT)
    yield from content
    yield bytes(-size % 512)
