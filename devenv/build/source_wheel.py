"""Wheels made from source: each by a build of its own with no network, kept in the store by the hash of its inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from devenv.build.build import base_here, buildx
from devenv.build.context import ROOT, What, fill, first_root, in_store
from devenv.build.source_failure import explained
from devenv.build.source_store import keep, kept, kept_wheels
from devenv.doors.cancellation import Cancellation
from devenv.doors.docker.buildx import check_buildx, csv
from devenv.doors.docker.engine import Engine
from devenv.doors.file_lock import hold
from devenv.doors.terminal.progress import Progress
from devenv.errors import BuildError
from devenv.fetch.store import Store
from devenv.lock.model import Lock, Source
from devenv.plan.cache_keys import source_key
from devenv.plan.inside import GID, GROUP, UID, USER
from devenv.render.lists import first_files
from devenv.render.render import render_sources
from devenv.render.sources import source_files
from devenv.resolve.context import Built


def make(
    lock: Lock, source: Source, *, engine: Callable[[], Engine], store: Store, folder: Path, progress: Progress,
    cancel: Cancellation,
) -> Built:  # fmt: skip
    """The wheel of one of the lock's sources, which the engine builds in `folder` unless the store keeps it. The lock's
    files are in the store. Raises BuildError with the end of its output, EngineError, CancelledError."""
    key = source_key(lock, source)
    if there := kept(store, key):
        return Built(wheel=there)
    connected = engine()
    check_buildx()
    with hold(folder.with_suffix(".lock"), lambda: None, cancel), tempfile.TemporaryDirectory() as scratch:
        if there := kept(store, key):
            return Built(wheel=there)
        assert lock.sources is not None
        alone = lock.model_copy(
            update={"sources": lock.sources.model_copy(update={"packages": lock.sources.chain(source)})}
        )
        fill(folder, dict(_context(alone, store)))
        result = Path(scratch) / "result.tar"
        arguments = [
            *base_here(lock.base, connected), *kept_wheels(alone, store), "--target", source.stage,
            "--platform", lock.platform, "--output", csv("type=tar", f"dest={result}"),
        ]  # fmt: skip
        progress.message(f"building {source.name} {source.version}, which has no wheel")
        try:
            buildx(arguments, folder, connected, progress, cancel=cancel)
        except BuildError as error:
            raise explained(error, source) from None
        return keep(result, lock, source, store)


def _context(lock: Lock, store: Store) -> Iterable[tuple[str, What]]:
    """The files that the stages of these sources need."""
    for name, data in render_sources(lock, (USER, UID, GROUP, GID)).items():
        yield name, (data, 0o644)
    yield from in_store((*first_files(lock), *source_files(lock)), store)
    if lock.base.kind == "bootstrap":
        yield ROOT, (first_root(lock, store), 0o644)
