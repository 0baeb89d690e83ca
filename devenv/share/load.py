"""Layers onto an engine while they arrive: checked, and sent in the form that `docker save` writes."""

from __future__ import annotations

import contextlib
import dataclasses
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
    from concurrent.futures import Future

    from devenv.doors.cancellation import Cancellation
    from devenv.doors.docker.engine import Engine
    from devenv.doors.http.registry.manifest import Descriptor
    from devenv.doors.terminal.progress import Progress
    from devenv.share.tars import Readable

_CHUNK_BYTES = 1 << 20
_AT_ONCE = 4
_MIN_PART_BYTES = 50_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """An image's layers for an engine that has the first `known`. Where `cut` is more than that, it gets those before
    `cut` as an image of their own with the tag `below`: it unpacks them while the others arrive."""

    layers: Sequence[Descriptor]
    known: int = 0
    cut: int = 0
    below: str = ""

    @property
    def in_order(self) -> tuple[Descriptor, ...]:
        """The layers to bring, in the order in which the engine gets them: the largest first."""
        first, rest = self.layers[self.known : self.cut], self.layers[max(self.known, self.cut) :]
        return tuple(one for part in (first, rest) for one in sorted(part, key=lambda one: -one.size))


def best_cut(layers: Sequence[Descriptor], known: int) -> int:
    """Where both parts are as large as can be; `known` where that is not worth another archive."""
    sizes = [layer.size for layer in layers]

    def smaller(cut: int) -> int:
        return min(sum(sizes[known:cut]), sum(sizes[cut:]))

    cut = max(range(known + 1, len(layers)), key=smaller, default=known)
    return cut if cut > known and smaller(cut) >= _MIN_PART_BYTES else known


class Arrivals:
    """The hooks of `Images.bring` for the archives whose layers arrive."""

    def __init__(self, archives: Sequence[_Archive]) -> None:
        self._archives = archives

    def grew(self, target: Path, part: Path, size: int) -> None:
        """As `Incoming.grew`, of each archive that has the layer."""
        for one in self._archives:
            if target in one.arriving:
                one.incoming.grew(target, part, size)

    def placed(self, target: Path) -> None:
        """As `Incoming.placed`, of each archive that has the layer."""
        for one in self._archives:
            if target in one.arriving:
                one.incoming.placed(target)


@contextlib.contextmanager
def loading(
    config: bytes, parts: Parts, reference: str, engine: Engine, folder: Path, *, stage: Progress, cancel: Cancellation,
) -> Iterator[Arrivals]:  # fmt: skip
    """Within the `with`, the layers are brought to the folder, with these hooks; after it, the engine has the image
    under a tag. The engine gets each byte as it arrives, uses none of a part before all of it is there and was checked,
    and compares each layer with the configuration.

    Raises ShareError for a layer that no build of devenv's makes, and removes all of its part; EngineError,
    CancelledError.
    """
    send = partial(_sent, engine=engine, folder=folder, stage=stage, cancel=cancel)
    with contextlib.ExitStack() as stack:
        archives: list[_Archive] = []
        if parts.cut > parts.known:
            first = Parts(layers=parts.layers[: parts.cut], known=parts.known)
            archives.append(stack.enter_context(send(_only(config, parts.cut), first, parts.below)))
        rest = Parts(layers=parts.layers, known=max(parts.known, parts.cut))
        after = archives[0].work if archives else None
        archives.append(stack.enter_context(send(config, rest, reference, after=after)))
        yield Arrivals(archives)


def _only(config: bytes, count: int) -> bytes:
    """The configuration of an image that has the first layers alone, and that nobody runs."""
    told = json.loads(config)
    kept = {name: told[name] for name in ("architecture", "os", "variant") if name in told}
    root = {"type": "layers", "diff_ids": told["rootfs"]["diff_ids"][:count]}
    return json.dumps({**kept, "config": {}, "rootfs": root}).encode()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Archive:
    """Layers on their way; `work` ends when the engine has them."""

    arriving: Mapping[Path, int]
    incoming: Incoming
    work: Future[None]


@contextlib.contextmanager
def _sent(
    config: bytes, parts: Parts, reference: str, *, engine: Engine, folder: Path, stage: Progress, cancel: Cancellation,
    after: Future[None] | None = None,
) -> Iterator[_Archive]:  # fmt: skip
    """One archive. Its end, without which it is no image, waits for `after`."""
    layers = parts.layers
    arriving = {folder / layer.hex: layer.size for layer in parts.in_order}
    total = sum(arriving.values())

    def content() -> Iterator[bytes]:
        yield from _layers(arriving, incoming, checks)
        if after:
            after.result()

    def load() -> None:
        while True:
            with contextlib.suppress(Restarted):  # the engine drops an archive that has no end
                engine.load(
                    _archive(config, [layer.hex for layer in layers], reference, content()),
                    lambda done: stage.message(f"unpacking, {bytes_text(done)} of {bytes_text(total)}"),
                )
                return

    with Incoming() as incoming, _Checks(arriving, incoming) as checks:
        work = in_thread("load", load)
        work.add_done_callback(lambda done: incoming.fail(error) if (error := done.exception()) else None)
        try:
            yield _Archive(arriving=arriving, incoming=incoming, work=work)
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
