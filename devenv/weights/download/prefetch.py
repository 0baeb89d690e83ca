"""Fetch a model: from files on this machine, else from its hubs, in pieces, verified during the download."""

from __future__ import annotations

import dataclasses
import errno
import time
from collections import deque
from collections.abc import Callable, Sequence

from devenv.doors.http.hubs import NAMES, hub_order
from devenv.doors.http.ranges import Ranges
from devenv.doors.settings.config_yaml import REGISTRY, HubSettings
from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.progress import Progress, Silent
from devenv.errors import FetchError
from devenv.fetch.store import hash_file
from devenv.lock.model import LockedModel, ModelFile
from devenv.weights import local_copies
from devenv.weights.download.download import Download
from devenv.weights.download.transfer import HubSource, Source
from devenv.weights.store import Weights

TASK = "weights"
_SPARE_BYTES = 64 << 20
_SMALL_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prefetched:
    """A run's result: `bytes` came over the network now, `linked` files were elsewhere on this machine, `here` files
    were in the store already. `remarks`: warnings of a successful run."""

    files: int
    bytes: int
    linked: int
    here: int
    seconds: float
    by_source: tuple[tuple[str, int], ...] = ()
    remarks: tuple[str, ...] = ()


def prefetch(
    model: LockedModel,
    *,
    store: Weights,
    settings: Settings,
    sources: Sequence[str] = (),
    progress: Progress | None = None,
    waiting: Callable[[], None] = lambda: None,
    ranges: Ranges | None = None,
    further: Source | None = None,
) -> Prefetched:
    """Make the model complete in the store. `sources`: the only places to contact, in order. `further`: a place beside
    the hubs that may have the model, called `registry` there.

    A killed run loses nothing; two at once fetch it once. Raises FetchError, UsageError.
    """
    began = time.monotonic()
    order = source_order(model, sources, settings.hubs, further)
    if store.present(model):
        store.know(model)
        return _report(began, here=len(model.files))
    progress = progress or Silent()
    with store.only(model.key, waiting):
        store.begin(model)
        missing = store.missing(model)
        here = len(model.files) - len(missing)
        try:
            places = local_copies.Places(model, store=store, caches=settings.hubs.caches)
            _check_space(local_copies.bytes_to_bring(missing, places, model, store), model, store)
            rest = _from_this_machine(missing, places, progress)
            if not rest:
                return _done(began, model, store, here=here, linked=len(missing))
            wanted = _once(rest)
            # Check the space again, because candidates may turn out to be other files.
            _check_space(local_copies.missing_bytes(wanted, model, store), model, store)
            with ranges or Ranges(settings) as web:
                asked = tuple(
                    further if further and name == REGISTRY else _source(model, name, settings, web) for name in order
                )
                download = Download(
                    model, wanted, store=store, web=web, sources=asked, progress=progress,
                    task=TASK,
                )  # fmt: skip
                download.run()
            if len(wanted) == len(model.files) and min(file.size for file in wanted):
                for source in asked:
                    all_of_it = source.received == model.size and download.received == model.size  # and at once
                    if all_of_it and isinstance(source, HubSource):
                        store.confirm(model.key, next(one for one in model.sources if one.hub == source.name))
            _twins(rest, wanted, model, store)
        except OSError as error:
            raise store.failed(error) from None
        return _done(
            began, model, store, here=here, linked=len(missing) - len(rest), files=len(rest), bytes_=download.received,
            by_source=download.by_source(), remarks=download.remarks(),
        )  # fmt: skip


def source_order(
    model: LockedModel, asked: Sequence[str], settings: HubSettings, further: Source | None = None
) -> tuple[str, ...]:
    """The places to fetch the model from, in order: `further` before the hubs when it is near, else after them, and
    instead of hubs that are switched off. What the settings prefer comes first. Raises UsageError, as `hub_order`."""
    hubs = [source.hub for source in model.sources if source.hub in NAMES]
    if further is None:
        return hub_order(hubs, asked, settings.order, name=model.name)
    on = [name for name in hubs if name not in settings.offline]
    preferred = (REGISTRY, *settings.order) if further.near else settings.order
    return hub_order([*on, REGISTRY], asked, preferred, name=model.name)


def _source(model: LockedModel, name: str, settings: Settings, web: Ranges) -> HubSource:
    from devenv.doors.http.hubs import hub

    found = model.source(name)
    assert found is not None
    return HubSource(
        hub=hub(name, settings.hubs), id=found.id, revision=found.revision, number=NAMES.index(name), web=web
    )  # fmt: skip


def _from_this_machine(
    missing: Sequence[ModelFile], places: local_copies.Places, progress: Progress
) -> tuple[ModelFile, ...]:
    """Link or copy files from another cache, another model or the folder itself; returns the missing ones."""
    from concurrent.futures import ThreadPoolExecutor

    from devenv.weights.store import hash_jobs

    def one(file: ModelFile) -> bool:
        try:
            return places.bring(file)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            return False

    found = sorted((file for file in missing if places.candidates(file)), key=lambda file: -file.size)
    if not found:
        return tuple(missing)
    large = deque(file for file in found if file.size > _SMALL_BYTES)
    small = deque(file for file in found if file.size <= _SMALL_BYTES)

    def some(queues: Sequence[deque[ModelFile]]) -> set[str]:
        got: set[str] = set()
        for queue in queues:
            while True:
                try:
                    file = queue.popleft()
                except IndexError:  # no work is left
                    break
                if one(file):
                    got.add(file.path)
        return got

    progress.message(f"{len(found)} files are on this machine: checking them")
    # Each processor hashes large files, the largest first, so that all end together. One more thread hashes the
    # small ones: it mostly waits for the kernel, and several such threads would wait for each other.
    jobs = ((small,), *((large, small) for _ in range(hash_jobs())))
    with ThreadPoolExecutor(len(jobs), thread_name_prefix="link") as pool:
        try:
            got = set[str]().union(*pool.map(some, jobs))
        finally:
            large.clear()  # after a failure or Ctrl-C the others begin no new file
            small.clear()
    progress.message("")
    return tuple(file for file in missing if file.path not in got)


def _once(files: Sequence[ModelFile]) -> tuple[ModelFile, ...]:
    """Each content once, under its first path."""
    return tuple({file.sha256: file for file in reversed(files)}.values())


def _twins(rest: Sequence[ModelFile], brought: Sequence[ModelFile], model: LockedModel, store: Weights) -> None:
    """Place newly fetched content under its other paths too."""
    first = {file.sha256: file for file in brought}
    for file in rest:
        if (twin := first[file.sha256]).path != file.path:
            temporary = store.parts(model.key) / f"{file.sha256}.twin"
            try:
                how = local_copies.link(store.folder(model.key) / twin.path, temporary)
                if how == "copy" and hash_file(temporary) != file.sha256:
                    raise OSError(errno.EIO, "a copy differs from its source")
                store.put(model, file, temporary)
            finally:
                temporary.unlink(missing_ok=True)


def _check_space(needed: int, model: LockedModel, store: Weights) -> None:
    free = store.free_bytes()
    if needed and needed + _SPARE_BYTES > free:
        raise FetchError(
            f"not enough disk space for {model.name}: {needed / 1e9:.2f} GB to fetch, {free / 1e9:.2f} GB free",
            where=str(store.root),
            hint="free some space ('devenv weights rm'), or put the store elsewhere: --weights-dir, or "
            "'weights: {dir: …}' in devenv's config.yaml",
        )


def _done(began: float, model: LockedModel, store: Weights, **facts: object) -> Prefetched:
    import shutil

    store.tidy_stamps(model)
    if changed := store.missing(model):
        raise FetchError(
            f"{changed[0].path} of {model.name} changed while the rest was fetched", where=str(store.folder(model.key)),
            hint="another process may be writing there; run the command again",
        )  # fmt: skip
    shutil.rmtree(store.parts(model.key), ignore_errors=True)
    return _report(began, **facts)


def _report(began: float, **facts: object) -> Prefetched:
    values = {"files": 0, "bytes": facts.pop("bytes_", 0), "linked": 0, "here": 0, **facts}
    return Prefetched(seconds=time.monotonic() - began, **values)  # type: ignore[arg-type]
