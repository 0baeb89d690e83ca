"""`devenv diff`: a container's differences from its lock, in three steps: observe, classify, measure the volumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from devenv.container.labels import Running
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.untrusted import from_yaml
from devenv.drift import node
from devenv.drift.begin import Begun, begin
from devenv.drift.classify import classify
from devenv.drift.container import container_items
from devenv.drift.items import Item, in_order
from devenv.drift.observe import ImageFiles, observed
from devenv.errors import LockError, UsageError
from devenv.lock.model import Lock, parse
from devenv.plan.inside import WORKSPACE
from devenv.preset.own_project import COMMAND
from devenv.secrets.search import secret_path
from devenv.up.session import Session

_RECORD = "/etc/devenv"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSize:
    """What lies outside of the container's own files and is not compared: a volume, or a folder of this host (`name` is
    its path). `bytes` is -1 where nobody counts."""

    name: str
    mount: str
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How an environment differs from its lock."""

    environment: str
    image: str
    lock: Lock
    preset: Mapping[str, Any]  # as the image carries it
    items: tuple[Item, ...]
    noise: int  # files that programs left of their own accord
    volumes: tuple[VolumeSize, ...]


def diff(running: Running, session: Session, begun: Begun | None = None) -> Drift:
    """Compare a container with its image, and its image with its lock; `begun`: where the engine was asked already.
    Raises UsageError for an image without a lock, LockError for labels that name another."""
    engine = session.engine()
    begun = begun or begin(running, engine)
    # The engine tells nothing else about the container until it has listed its changes, so the image comes first.
    beside = _Beside(running, engine)
    with session.stages.stage("compare") as stage:
        stage.message(running.name)
        with observed(running, engine, begun=begun, meanwhile=beside.read) as found:
            classified = classify(found, beside.lock, is_secret=lambda path: secret_path(path) is not None)
        items = [
            *without_own_project(classified.items, beside.preset), *_editor(running, engine),
            *given_to(running, beside.preset, engine, begun.facts),
        ]  # fmt: skip
    return Drift(
        environment=running.name, image=running.facts.image, lock=beside.lock, preset=beside.preset,
        noise=classified.noise, items=in_order(items), volumes=beside.volumes,
    )  # fmt: skip


class _Beside:
    """What has to be known beside the container's differences."""

    lock: Lock
    preset: Mapping[str, Any]
    volumes: tuple[VolumeSize, ...]

    def __init__(self, running: Running, engine: Engine) -> None:
        self._running, self._engine = running, engine

    def read(self, image: ImageFiles) -> None:
        """Read it. Raises UsageError, LockError, EngineError."""
        self.lock, self.preset = record_of(self._running, image)
        self.volumes = _volumes(self._running, self._engine)


def record_of(running: Running, image: ImageFiles) -> tuple[Lock, Mapping[str, Any]]:
    """The lock and the preset that the image carries. Raises UsageError, LockError."""
    text = image.text(f"{_RECORD}/devenv.lock")
    if not text:
        raise UsageError(
            f"the image of {running.name} carries no lock, so there is nothing to compare with",
            hint="devenv diff works on environments that 'devenv up' made",
        )
    lock = parse(text, Path(_RECORD) / "devenv.lock")
    if lock.digest != running.lock_digest:
        raise LockError(
            f"the container of {running.name} says that its lock is {running.lock_digest[:12] or 'none'}, "
            f"and its image carries {lock.digest[:12]}",
            hint=f"someone changed labels or image; make a new container: devenv up --fresh --name {running.name}",
        )
    try:
        preset = from_yaml(image.text(f"{_RECORD}/preset.yaml"))
    except ValueError:
        preset = None
    return lock, preset if isinstance(preset, dict) else {}


def without_own_project(items: Iterable[Item], preset: Mapping[str, Any]) -> list[Item]:
    """Less the project's own package, where a setup step of the preset installs it: its code lies in /workspace, and
    what it requires is locked. One that stands in the place of a locked package stays."""
    setup = preset.get("setup")
    steps = setup.values() if isinstance(setup, dict) else ()
    if not any(isinstance(step, dict) and step.get("run") == [*COMMAND] for step in steps):
        return [*items]
    return [
        one for one in items
        if (one.kind, one.change, one.origin, one.was, one.note)
        != ("python", "editable", f"file://{WORKSPACE}", "", "")
    ]  # fmt: skip


def _editor(running: Running, engine: Engine) -> list[Item]:
    """The editor's extensions and settings, which lie on the environment's own volume."""
    folder = f"/mnt/{running.name}/.code-server"
    if not running.facts.labels.get(f"{LABEL}editor"):
        return []
    items = node.extensions(engine.read_file(running.facts.id, f"{folder}/extensions/extensions.json"), folder)
    settings = f"{folder}/User/settings.json"
    mine = engine.read_file(running.facts.id, settings)
    if mine and mine != engine.read_file(running.facts.id, "/usr/local/lib/devenv/ide-settings.json"):
        items.append(Item(kind="settings", change="changed", name=settings, bytes=len(mine.encode()), note="editor"))
    keys = f"{folder}/User/keybindings.json"
    if mine := engine.read_file(running.facts.id, keys):
        items.append(Item(kind="settings", change="added", name=keys, bytes=len(mine.encode()), note="editor"))
    return items


def given_to(
    running: Running, preset: Mapping[str, Any], engine: Engine, facts: Mapping[str, Any] | None = None
) -> list[Item]:
    """What the container (`facts`: `docker inspect`) was given beside what `preset` and devenv give it."""
    caches = preset.get("caches")
    return container_items(
        facts or engine.inspection(running.facts.id), engine.image_facts(running.facts.image), running,
        variables=tuple(caches) if isinstance(caches, dict) else (),
    )  # fmt: skip


def _volumes(running: Running, engine: Engine) -> tuple[VolumeSize, ...]:
    mounted = sorted(
        (one for one in running.facts.mounts if one.kind == "volume" or one.target == WORKSPACE),
        key=lambda one: one.target,
    )
    sizes = engine.volume_sizes() if any(one.kind == "volume" for one in mounted) else {}
    return tuple(VolumeSize(name=one.source, mount=one.target, bytes=sizes.get(one.source, -1)) for one in mounted)
