"""Fetch a lock's files to the store: in parallel, resumed, verified while they stream."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import time
from collections.abc import Mapping

from devenv.doors.cancellation import Cancellation
from devenv.doors.http.partial_file import Stopped, Wanted
from devenv.doors.http.retry import Policy
from devenv.doors.http.web import NowhereError, Web
from devenv.doors.settings.settings import Settings
from devenv.doors.terminal.progress import Progress, Silent
from devenv.errors import FetchError
from devenv.fetch import npm_program
from devenv.fetch.repository import at_commit
from devenv.fetch.sources import Sources, kinds
from devenv.fetch.store import Store, bring
from devenv.lock.model import Artifact, Lock, Source
from devenv.preset.model import Archive
from devenv.preset.repository import Repository

TASK = "download"
JOBS = 12
_SPARE_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """A fetch's result: `files` and `bytes` fetched now, and `from_cache` files already in the store."""

    files: int
    bytes: int
    seconds: float
    from_cache: int


class GoneError(FetchError):
    """No mirror has these files any more: `missing`. Resolving them again (refresh_missing) may help."""

    def __init__(self, missing: tuple[Artifact, ...], errors: tuple[NowhereError, ...], kind: str) -> None:
        names = ", ".join(artifact.file for artifact in missing[:3]) + (" …" if len(missing) > 3 else "")
        count = f"{len(missing)} locked files are" if len(missing) > 1 else "a locked file is"
        super().__init__(
            f"{count} no longer on any mirror: {names}",
            detail="\n".join(error.detail or "" for error in errors[:3]),
            hint=_REMEDIES[kind],
        )
        self.missing = missing
        self.kind = kind


_REMEDIES = {
    "deb": "take the mirror's present packages: 'devenv up --relock', name a snapshot service that "
    "keeps the locked ones (snapshots: in devenv's config.yaml), or a folder that has them: --from DIR",
    "wheel": "check pip's index settings, take another version: 'devenv lock --upgrade NAME', "
    "or name a folder that has it: --from DIR",
    "source": "check pip's index settings, take another version: 'devenv lock --upgrade NAME', "
    "or name a folder that has it: --from DIR",
    "commit": "check the repository's address in the preset, or name a folder that has the file: --from DIR",
    "tarball": "check npm's registry setting, take another version in the preset, "
    "or name a folder that has it: --from DIR",
    "extension": "name a registry of extensions that has it (extension_registry: in devenv's config.yaml, or "
    "DEVENV_EXTENSION_REGISTRY), take another version: 'devenv lock --upgrade extensions', "
    "or name a folder that has it: --from DIR",
    "file": "put the file where the preset expects it, or correct its 'path', 'url' or 'sha256'",
}


def fetch(
    lock: Lock,
    *,
    store: Store,
    settings: Settings,
    progress: Progress | None = None,
    files: Mapping[str, Archive] | None = None,
    repositories: Mapping[str, Repository] | None = None,
    policy: Policy | None = None,
    jobs: int = JOBS,
    anew: bool = False,
    cancel: Cancellation | None = None,
) -> FetchReport:
    """Fetch every file of the lock that the store lacks; `files` is the value of sources.archives(preset),
    `repositories` that of sources.repositories(preset).

    With `anew`, every file in the store is read and hashed first. A killed run loses nothing: the next one resumes
    it. Raises FetchError (GoneError when the mirrors no longer have a file), CancelledError.
    """
    cancel = cancel or Cancellation()
    started = time.monotonic()
    progress = progress or Silent()
    if anew:
        _read_again(lock, store, progress)
    missing = store.missing(lock)
    here = len(lock.artifacts()) - len(missing)
    size_bytes = sum(artifact.size for artifact in missing)
    if missing:
        _check_space(store, size_bytes)
        progress.start(TASK, size_bytes)
        try:
            with Web(settings, policy, cancel) as web:
                sources = Sources(
                    settings,
                    web,
                    node_registry=lambda: npm_program.default_registry(store=store, web=web, settings=settings),
                    files=files,
                )
                commit = _Commits(repositories or {}, store, settings, sources, cancel)
                _bring_all(
                    missing, lock, store=store, web=web, sources=sources, progress=progress, jobs=jobs, commits=commit
                )
            cancel.check()
        except FetchError:
            cancel.check()  # then it is not the fault of a source
            raise
        finally:
            progress.finish(TASK)
    seconds = time.monotonic() - started
    return FetchReport(files=len(missing), bytes=size_bytes, seconds=seconds, from_cache=here)


def _read_again(lock: Lock, store: Store, progress: Progress) -> None:
    """Remove files whose content does not fit their name, even with the right size and times."""
    task = "reading every file again"
    here = [artifact for artifact in lock.artifacts() if store.path(artifact.sha256).exists()]

    def read(artifact: Artifact) -> None:
        store.sound(artifact)
        progress.advance(task, artifact.size)

    progress.start(task, sum(artifact.size for artifact in here))
    try:
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(read, here))
    finally:
        progress.finish(task)


def _check_space(store: Store, size_bytes: int) -> None:
    free = store.free_bytes()
    if size_bytes + _SPARE_BYTES > free:
        raise FetchError(
            f"not enough disk space: {size_bytes / 1e6:.0f} MB to download, {free / 1e6:.0f} MB free",
            where=str(store.root),
            hint="free some space ('devenv prune'), or put the cache elsewhere with XDG_CACHE_HOME",
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Commits:
    """Brings what was made of commits of git repositories."""

    repositories: Mapping[str, Repository]
    store: Store
    settings: Settings
    sources: Sources
    cancel: Cancellation

    def bring(self, artifact: Artifact) -> None:
        assert isinstance(artifact, Source)
        if found := self.sources.local(artifact):
            self.store.adopt(found, artifact.sha256)
        elif artifact.name in self.repositories:
            place = self.repositories[artifact.name]
            at_commit(
                place, artifact.commit, store=self.store, settings=self.settings, cancel=self.cancel,
                sha256=artifact.sha256,
            )  # fmt: skip
        else:
            raise FetchError(f"the preset names no repository for {artifact.file}", hint=_REMEDIES["commit"])


def _bring_all(
    missing: tuple[Artifact, ...],
    lock: Lock,
    *,
    store: Store,
    web: Web,
    sources: Sources,
    progress: Progress,
    jobs: int,
    commits: _Commits,
) -> None:
    kind_of = kinds(lock)

    def fetch_one(artifact: Artifact) -> None:
        kind = kind_of[artifact.sha256]
        if kind == "commit":
            commits.bring(artifact)
            progress.advance(TASK, artifact.size)
            return
        wanted = Wanted(name=artifact.file, digests=(("sha256", artifact.sha256),), size_bytes=artifact.size)
        bring(
            store,
            web,
            wanted,
            lambda: sources.places(artifact, lock, kind),
            lambda count: progress.advance(TASK, count),
        )

    failed: list[tuple[Artifact, FetchError]] = []
    # The largest first, so that a small one is last. Node early, because it may decide the registry.
    first = lock.node.sha256 if lock.node else ""
    queue = sorted(missing, key=lambda each: (each.sha256 != first, -each.size))
    with concurrent.futures.ThreadPoolExecutor(jobs, thread_name_prefix="fetch") as pool:
        futures = {pool.submit(fetch_one, artifact): artifact for artifact in queue}
        try:
            for future in concurrent.futures.as_completed(futures):
                try:
                    future.result()
                except Stopped:
                    continue
                except FetchError as error:
                    failed.append((futures[future], error))
                    # Other files may still be on their mirrors, but a dead network or a full disk stops all.
                    if not isinstance(error, NowhereError) or error.offline:
                        raise
        except BaseException:
            web.halt()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    _tell(failed, kind_of)


def _tell(failed: list[tuple[Artifact, FetchError]], kind_of: Mapping[str, str]) -> None:
    if not failed:
        return
    failed.sort(key=lambda pair: pair[0].file)
    gone = [(a, e) for a, e in failed if isinstance(e, NowhereError) and e.gone]
    for kind in ("file", "extension", "tarball", "source", "wheel", "deb"):
        some = [(a, e) for a, e in gone if kind_of[a.sha256] == kind]
        if some and len(gone) == len(failed):
            raise GoneError(tuple(a for a, _ in some), tuple(e for _, e in some), kind)
    artifact, error = next((a, e) for a, e in failed if (a, e) not in gone)
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    raise FetchError(
        f"{error.message}{more}",
        detail=error.detail,
        hint=error.hint or f"run the command again; the downloaded data is kept. {_REMEDIES[kind_of[artifact.sha256]]}",
    )
