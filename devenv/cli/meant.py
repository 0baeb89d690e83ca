"""What a word of the command line means: an environment, a preset, a snapshot, or an image in a registry."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.cli import references
from devenv.cli.app import App
from devenv.container.names import is_name
from devenv.doors.docker.engine import LABEL
from devenv.errors import PresetError
from devenv.preset.load import find
from devenv.up import preflight
from devenv.up.decide import decide

if TYPE_CHECKING:
    from devenv.container.labels import Running
    from devenv.container.state import Environment
    from devenv.share.bring import Way
    from devenv.share.remote import Remote
    from devenv.snapshot.store import Snapshot
    from devenv.up.decide import Decided
    from devenv.up.preflight import Asked
    from devenv.up.session import Session


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """What to run: `environment` is the one whose volumes it has, `project` the folder that goes with it; `fill`: what
    new volumes begin with."""

    decided: Decided
    environment: Environment
    project: Path | None
    fill: Mapping[str, Path] = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def meant(app: App, word: str | None, name: str | None, session: Session, asked: Asked) -> Iterator[Meant]:
    """What `word` means, with `name` for its environment; without a word devenv.yaml here or above, else the only
    environment. What it reads from lies there within the `with`. Raises UsageError, PresetError, …"""
    named = None if name is None else app.environment(name)
    if running := _environment(app, word):
        with _as_it_is(running, session) as decided:
            environment = named or app.environment(running.name)
            yield Meant(
                decided=decided, environment=environment, project=Path(running.project) if running.project else None
            )
        return
    if kept := snapshot(app, word):
        from devenv.snapshot import bring_back, volumes
        from devenv.snapshot.store import Snapshots

        environment = named or app.environment(kept.environment)
        yield Meant(
            decided=bring_back.decided(kept, session), environment=environment,
            project=bring_back.known_project(environment, session),
            fill=volumes.to_fill(kept, Snapshots(app.dirs.snapshots), environment.name),
        )  # fmt: skip
        return
    remote = references.remote(word, session) if word and references.may_be_reference(word) else None
    decided = decided_by(word, remote, None, session, asked)
    environment = named or app.environment(name_of(decided, remote))
    yield Meant(
        decided=decided, environment=environment, project=decided.loaded.project,
        fill=filling(remote, environment, session),
    )  # fmt: skip


def decided_by(word: str | None, remote: Remote | None, way: Way | None, session: Session, asked: Asked) -> Decided:
    """Preset, lock and plan of an image in a registry, else of a preset."""
    if remote:
        from devenv.share.bring import decided

        return decided(remote, way, session)
    return decide(
        find(word, Path.cwd()), session, before_lock=lambda loaded: preflight.before_lock(loaded, session, asked)
    )


def name_of(decided: Decided, remote: Remote | None) -> str:
    """The name of the environment, unless one is given."""
    return remote.added.environment if remote and remote.added else decided.plan.preset


def filling(remote: Remote | None, environment: Environment, session: Session) -> Mapping[str, Path]:
    """The volumes of a remote snapshot, for an environment that has not yet some of its own."""
    if remote is None:
        return {}
    from devenv.share.bring import volumes

    return volumes(remote, environment.name, session)


def snapshot(app: App, name: str | None) -> Snapshot | None:
    """The snapshot of that name, where no preset has it."""
    if name is None:
        return None
    try:
        find(name, Path.cwd())
    except PresetError as error:
        if "/" in name:
            return None
        from devenv.snapshot.store import Snapshots

        kept = Snapshots(app.dirs.snapshots)
        if not (is_name(name) and kept.exists(name)):
            if names := ", ".join(one.name for one in kept.every()):
                error.hint = f"{error.hint}; snapshots: {names}" if error.hint else f"snapshots: {names}"
            raise
        return kept.get(name)
    return None


def _environment(app: App, word: str | None) -> Running | None:
    """The user's environment of that name; without a name the one that is meant here, where no preset is."""
    if word is None:
        try:
            find(None, Path.cwd())
        except PresetError:
            return app.select(None)
        return None
    running = app.environments.now(word) if is_name(word) else None
    return running if running and not running.unreadable else None


@contextlib.contextmanager
def _as_it_is(running: Running, session: Session) -> Iterator[Decided]:
    """Preset, lock and plan of an environment, as its image carries them, and its snapshot's layer."""
    from devenv.drift.observe import image_of_lock
    from devenv.snapshot.bring_back import with_layer
    from devenv.verify.rebuild import restore

    with tempfile.TemporaryDirectory(prefix="devenv-run-") as folder:
        reference, _ = image_of_lock(running, session.engine())
        again = decide(restore(reference, Path(folder), session), session, told=f"of {running.name}")
        # One that was pulled, or that another devenv version built, has another tag than this plan.
        tag = running.facts.labels.get(f"{LABEL}image", "")
        if tag and session.engine().image_id(tag) == reference:
            again = dataclasses.replace(again, plan=dataclasses.replace(again.plan, image=tag))
        yield with_layer(again, running.facts.image, session)
