"""A snapshot of an environment, in steps: read, classify, lock, search for secrets, write."""

from __future__ import annotations

import dataclasses
import datetime as dt
import getpass
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from posixpath import dirname

from devenv.build import delta
from devenv.container.labels import Running
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.pause import paused
from devenv.drift.classify import Classified, classify
from devenv.drift.diff import given_to, record_of
from devenv.drift.entries import Spool, chain
from devenv.drift.items import Item
from devenv.drift.observe import Difference, Observed, observed
from devenv.drift.paths import is_trace
from devenv.errors import ShareError, UsageError
from devenv.lock.files import beside
from devenv.lock.model import read
from devenv.secrets.both import FileScanner, scanner_for
from devenv.secrets.finding import Finding, allowed
from devenv.secrets.known import KnownValues
from devenv.secrets.paths import by_path
from devenv.secrets.search import as_bytes, search
from devenv.snapshot import layer, volumes
from devenv.snapshot.into_lock import Locked, lock_packages
from devenv.snapshot.store import Snapshot, Snapshots
from devenv.up.session import Session
from devenv.verify.rebuild import restore

_SHOWN = 20
_LAYER = "layer.tar"
_BUFFER_BYTES = 1 << 18


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to keep, and how. `lock`: put packages that an index has into preset and lock instead of the layer;
    `allow`: paths that go along although they may be secret."""

    name: str
    message: str = ""
    volumes: tuple[str, ...] = ()  # mount points
    allow: tuple[str, ...] = ()
    lock: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A finished snapshot; `locked`: what went into preset and lock; `left_out`: what it does not hold, in words."""

    snapshot: Snapshot
    locked: Locked | None
    left_out: tuple[str, ...]


def take(running: Running, wanted: Wanted, known: KnownValues, session: Session) -> Taken:
    """Keep an environment's state. Its programs stand still only while its changed files are read. Raises ShareError
    for what may be secret, UsageError, EngineError."""
    engine, snapshots = session.engine(), Snapshots(session.dirs.snapshots)
    snapshots.check_new(wanted.name)
    if odd := next((path for path in wanted.allow if not path.startswith("/")), None):
        raise UsageError(
            f"--allow {odd}: not a path in the container", hint="write it from the root on: /home/dev/.env"
        )
    waiting = session.waiting_for("is writing a snapshot")
    with snapshots.new(wanted.name, waiting) as place, (place / _LAYER).open("x+b", buffering=_BUFFER_BYTES) as file:
        spool = Spool(file)
        with session.stages.stage("read") as stage:
            still = partial(paused, running.facts.id, engine, _pause_lock(running, session), waiting)
            with observed(running, engine, spool=spool, still=still) as found:
                lock, preset = record_of(running, found.image)
                classified = classify(found, lock)
                image = found.image_id
            file.flush()  # the layer is written to the same place through another descriptor
            stage.message(f"{len(found.differences)} paths")
        (place / "preset").mkdir()
        restore(image, place / "preset", session)
        locked = lock_packages(place / "preset", classified.items, preset, session) if wanted.lock else None
        kept, unfit = layer.writable(_kept(found, classified, locked), spool)
        with session.stages.stage("volumes") as stage:
            stage.cached = not wanted.volumes
            sizes = volumes.take(running, wanted.volumes, place / "volumes", engine, stage)
        with session.stages.stage("secrets") as stage:
            scanner = scanner_for(known, session.dirs.cache)
            let_through = _check(_contents(kept, spool, place / "volumes", sizes), wanted.allow, scanner)
            told = f"none but {len(let_through)} let through" if let_through else "none"
            stage.message(f"{told} in {len(kept)} paths")
        with session.stages.stage("write") as stage:
            digest = _write_layer(kept, spool, place / _LAYER)
        snapshot = Snapshot(
            name=wanted.name, environment=running.name, preset=running.preset, message=_text(wanted.message),
            made=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), user=_user(),
            parent=_parent(running, engine), lock_digest=read(beside(place / "preset" / "preset.yaml")).digest,
            layer_sha256=digest, layer_bytes=(place / _LAYER).stat().st_size if digest else 0,
            layer_paths=len(kept), allowed=let_through, volumes=sizes,
        )  # fmt: skip
        snapshots.write(place, snapshot)
    left_out = tuple(_left_out(found, unfit, given_to(running, preset, engine)))
    return Taken(snapshot=snapshot, locked=locked, left_out=left_out)


def _text(words: str) -> str:
    """The words with `?` for each byte that is no UTF-8: a record is text."""
    return words.encode(errors="replace").decode()


def _user() -> str:
    """This user's name; the number of one that this machine has no name for."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _pause_lock(running: Running, session: Session) -> Path:
    return session.dirs.environments / running.name / "pause.lock"


def _kept(observed: Observed, classified: Classified, locked: Locked | None) -> list[Difference]:
    """What the layer has to hold: what neither preset nor lock say."""
    said: set[str] = set()
    for one in classified.items:
        if locked is not None and locked.says(one):
            said |= {*one.paths}
    if locked is not None and locked.has_apt:
        said |= {*classified.derived}
    # Accounts of services that packages make: every machine has its own, and this one's users' beside them.
    said |= {path for path in classified.derived if by_path(path)}
    kept = {
        path for path in observed.differences
        if path not in said and not is_trace(path) and not path.startswith("/etc/devenv/")
    }  # fmt: skip
    wanted = _with_folders(kept, observed)
    return [one for path, one in observed.differences.items() if path in wanted]


def _with_folders(kept: set[str], observed: Observed) -> set[str]:
    """`kept` with the folders that its paths lie in, and without new folders that hold only what is left out."""
    differences = observed.differences
    ways = {above for path in kept if not _is_new_folder(differences[path]) for above in chain(dirname(path))}
    left = {*differences, *observed.unread} - kept
    hollow = {above for path in left for above in chain(dirname(path))} - ways
    return {path for path in kept if path not in hollow or not _is_new_folder(differences[path])} | {
        path for path in ways if path in differences and differences[path].after is not None
    }


def _is_new_folder(one: Difference) -> bool:
    return one.before is None and one.after is not None and one.after.kind == "folder"


def _contents(
    kept: Iterable[Difference], spool: Spool, folder: Path, mounts: Iterable[str]
) -> Iterator[tuple[str, str, Iterator[bytes]]]:
    """(path, kind, content) of all that the snapshot would hold."""
    for one in kept:
        if one.after is not None:
            is_file = one.after.kind == "file"
            content = spool.chunks(layer.content_of(one.after)) if is_file else iter([as_bytes(one.after.target)])
            yield one.path, one.after.kind, content
    for mount in mounts:
        yield from volumes.files_of(folder, mount)


def _check(
    contents: Iterable[tuple[str, str, Iterator[bytes]]], let_through: Sequence[str], scanner: FileScanner
) -> tuple[str, ...]:
    """The paths that were let through although they may be secret. Raises ShareError for all others."""
    found: list[Finding] = []
    for path, kind, content in contents:
        found += search(scanner, path, content, kind)
    refused, permitted = allowed(found, let_through)
    if refused:
        lines = [f"{one.path}{f':{one.line}' if one.line else ''}: {one.kind}: {one.reason}" for one in refused]
        more = f"\n… and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise ShareError(
            f"{_count({one.path for one in refused})}, so nothing is kept", detail="\n".join(lines[:_SHOWN]) + more,
            hint="remove them from the environment, or let each through by name: --allow PATH",
        )  # fmt: skip
    return tuple(sorted({_text(one.path) for one in permitted}))


def _count(paths: Collection[str]) -> str:
    return "1 file may hold a secret" if len(paths) == 1 else f"{len(paths)} files may hold secrets"


def _write_layer(kept: Sequence[Difference], spool: Spool, path: Path) -> str:
    """The layer's sha256; empty when there is nothing to write. `path` is the spool's file, which becomes the layer."""
    if not kept:
        path.unlink()
        return ""
    place = path if layer.fits(kept, spool) else path.with_suffix(".new")
    with place.open("r+b" if place == path else "xb") as file:
        digest = layer.write(kept, spool, file)
        file.truncate()
        os.fsync(file.fileno())
    place.replace(path)
    return digest


def _parent(running: Running, engine: Engine) -> str:
    """The snapshot that the environment was made from."""
    return engine.image_labels(running.facts.image).get(delta.SNAPSHOT_LABEL, "")


def _left_out(observed: Observed, unfit: Iterable[str], given: Sequence[Item]) -> Iterator[str]:
    traces = sum(is_trace(path) for path in observed.differences) + len(observed.unread)
    if traces:
        yield f"{traces} files of caches, logs and histories"
    yield from unfit
    yield from (f"{one.name}, which was given to the container" for one in given)
