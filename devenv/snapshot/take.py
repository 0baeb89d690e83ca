"""A snapshot of an environment, in steps: read, classify, lock, search for secrets, write."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import getpass
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from devenv.build import delta
from devenv.container.labels import Running
from devenv.doors import files
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.pause import paused
from devenv.doors.untrusted import from_yaml
from devenv.drift.classify import Classified, classify
from devenv.drift.diff import given_to, record_of
from devenv.drift.entries import Spool
from devenv.drift.items import Item
from devenv.drift.observe import Difference, Observed, observed
from devenv.drift.patch import LOCKABLE, Patch, patch
from devenv.drift.paths import is_trace
from devenv.errors import FetchError, LockError, PresetError, ShareError
from devenv.lock.diff import changes
from devenv.lock.files import beside
from devenv.lock.model import Lock, read
from devenv.preset.load import load
from devenv.preset.yaml.text import MAX_BYTES
from devenv.resolve.relock import earlier, relock
from devenv.secrets.finding import Finding, allowed
from devenv.secrets.known import KnownValues
from devenv.secrets.paths import LEFT_OUT, by_path
from devenv.secrets.scanner import Scanner
from devenv.snapshot import layer, volumes
from devenv.snapshot.store import Snapshot, Snapshots
from devenv.up.session import Session
from devenv.verify.rebuild import restore

_SHOWN = 20


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
    waiting = session.waiting_for("is writing a snapshot")
    with snapshots.new(wanted.name, waiting) as place, tempfile.TemporaryFile(dir=place) as file:
        spool = Spool(file)
        with session.stages.stage("read") as stage:
            still = partial(paused, running.facts.id, engine)
            with observed(running, engine, spool=spool, still=still) as found:
                lock, preset = record_of(running, found.image)
                classified = classify(found, lock)
                image = found.image_id
            stage.message(f"{len(found.differences)} paths")
        (place / "preset").mkdir()
        restore(image, place / "preset", session)
        locked = _lock(place / "preset", classified.items, preset, session) if wanted.lock else None
        kept = _kept(found, classified, locked)
        with session.stages.stage("volumes") as stage:
            stage.cached = not wanted.volumes
            sizes = volumes.take(running, wanted.volumes, place / "volumes", engine, stage)
        with session.stages.stage("secrets") as stage:
            _check(_contents(kept, spool, place / "volumes", sizes), wanted.allow, known)
            stage.message(f"none in {len(kept)} paths")
        with session.stages.stage("write") as stage:
            digest = _write_layer(kept, spool, place / "layer.tar")
        snapshot = Snapshot(
            name=wanted.name, environment=running.name, preset=running.preset, message=wanted.message,
            made=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), user=getpass.getuser(),
            parent=_parent(running, engine), lock_digest=read(beside(place / "preset" / "preset.yaml")).digest,
            layer_sha256=digest, layer_bytes=(place / "layer.tar").stat().st_size if digest else 0,
            layer_paths=len(kept), allowed=wanted.allow, volumes=sizes,
        )  # fmt: skip
        snapshots.write(place, snapshot)
    left_out = tuple(_left_out(found, kept, given_to(running, preset, engine)))
    return Taken(snapshot=snapshot, locked=locked, left_out=left_out)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """Packages that went into preset and lock."""

    patch: Patch
    lock: Lock

    @property
    def has_apt(self) -> bool:
        """Whether Debian packages are among them; then all of them are."""
        return bool(self.patch.add.get("apt"))

    def says(self, item: Item) -> bool:
        """Whether preset and lock bring what the item names."""
        if item.kind == "apt":
            return self.has_apt
        if item.kind == "npm":
            wanted = {*self.patch.add.get("npm", ()), *self.patch.replace.get("npm", {}).values()}
            return f"{item.name}@{item.now}" in wanted or item.name in self.patch.remove.get("npm", ())
        if item.kind != "python" or item.origin or item.note or item.change in ("edited", "editable"):
            return False
        wheels: dict[str, str] = {canonicalize_name(one.name): one.version for one in self.lock.wheels}
        return wheels.get(item.name, "") == item.now


def _lock(folder: Path, items: Sequence[Item], preset: Mapping[str, Any], session: Session) -> Locked | None:
    """Put the packages that were asked for into preset and lock; None, with a note, where that cannot be done."""
    path = folder / "preset.yaml"
    before = files.read_text(path, most_bytes=MAX_BYTES, inside=folder)
    found = patch([one for one in items if one.kind in LOCKABLE], preset, from_yaml(before))
    if _has_more(items, found):
        found = dataclasses.replace(found, add={key: value for key, value in found.add.items() if key != "apt"})
    if found.is_empty:
        return None
    old = read(beside(path))
    with contextlib.ExitStack() as undo:
        undo.callback(_write, path, before, beside(path).read_bytes())
        try:
            _change(path, before, found)
            with session.stages.stage("lock") as stage:
                start = earlier(load(path), session.dirs.config, warn=session.stages.note)
                new = relock(start, session.resolving(stage))
                stage.message(f"{len(changes(old, new.lock))} packages changed")
        except (LockError, FetchError, PresetError) as error:
            session.stages.note(f"packages are kept as files, because they cannot be locked now: {error.message}")
            return None
        undo.pop_all()
    return Locked(patch=found, lock=new.lock)


def _change(path: Path, text: str, found: Patch) -> None:
    """Change the preset. Where entries are only added, it is extended, so that they get an image layer of their own and
    the layers of the environment's image stay."""
    if found.replace or found.remove:
        _write(path, found.apply(text), beside(path).read_bytes())
        return
    carried = path.with_name("carried.yaml")
    _write(carried, text, beside(path).read_bytes())
    beside(path).unlink()
    files.write_below(path.parent, path.name, found.apply(f"extends: ./{carried.name}\n{_name(text)}").encode())


def _name(text: str) -> str:
    """The line of a preset with its name; one without a name has its folder's."""
    name = from_yaml(text).get("name")
    return f"name: {name}\n" if name else ""


def _write(path: Path, text: str, lock: bytes) -> None:
    files.write_below(path.parent, path.name, text.encode())
    files.write_below(path.parent, beside(path).name, lock)


def _has_more(items: Sequence[Item], found: Patch) -> bool:
    """Whether Debian packages changed that no preset can name: dpkg's lists of all of them are one file."""
    named = {*found.add.get("apt", ())}
    return any(one.kind == "apt" and one.asked_for and one.name not in named for one in items)


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
    return [
        one for path, one in observed.differences.items()
        if path not in said and not _is_left_out(one)
    ]  # fmt: skip


def _is_left_out(one: Difference) -> bool:
    """Whether nobody misses it in another place."""
    found = by_path(one.path, one.after.kind if one.after else "")
    return is_trace(one.path) or one.path.startswith("/etc/devenv/") or (found is not None and found.kind in LEFT_OUT)


def _contents(
    kept: Iterable[Difference], spool: Spool, folder: Path, mounts: Iterable[str]
) -> Iterator[tuple[str, str, Iterator[bytes]]]:
    """(path, kind, content) of all that the snapshot would hold."""
    for one in kept:
        if one.after is not None:
            yield one.path, one.after.kind, spool.chunks(one.path) if one.path in spool else iter(())
    for mount in mounts:
        for path, content in volumes.files_of(folder, mount):
            yield path, "file", content


def _check(
    contents: Iterable[tuple[str, str, Iterator[bytes]]], let_through: Sequence[str], known: KnownValues
) -> None:
    """Raise ShareError for what may be secret."""
    scanner = Scanner(known)
    found: list[Finding] = []
    for path, kind, content in contents:
        one = by_path(path, kind)
        if one and one.kind not in LEFT_OUT:
            found.append(one)
        elif kind == "file":
            found += scanner.file(path, content)
    refused, _ = allowed(found, let_through)
    if refused:
        lines = [f"{one.path}{f':{one.line}' if one.line else ''}: {one.kind}: {one.reason}" for one in refused]
        more = f"\n… and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise ShareError(
            f"{len(refused)} findings of what may be secret, so nothing is kept",
            detail="\n".join(lines[:_SHOWN]) + more,
            hint="remove them from the environment, or let each through by name: --allow PATH",
        )  # fmt: skip


def _write_layer(kept: Sequence[Difference], spool: Spool, path: Path) -> str:
    """The layer's sha256; empty when there is nothing to write."""
    if not kept:
        return ""
    with path.open("xb") as file:
        digest = layer.write(kept, spool, file)
        file.flush()
        os.fsync(file.fileno())
    return digest


def _parent(running: Running, engine: Engine) -> str:
    """The snapshot that the environment was made from."""
    labels = engine.image_facts(running.facts.image)["Config"].get("Labels") or {}
    return str(labels.get(delta.SNAPSHOT_LABEL, ""))


def _left_out(observed: Observed, kept: Sequence[Difference], given: Sequence[Item]) -> Iterator[str]:
    traces = sum(map(_is_left_out, observed.differences.values())) + len(observed.unread)
    if traces:
        yield f"{traces} files of caches, logs and histories"
    for one in kept:
        if one.after is not None and one.after.kind in ("char", "block"):
            yield f"the device {one.path}"
    yield from (f"{one.name}, which was given to the container" for one in given)
