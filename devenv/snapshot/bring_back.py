"""An environment brought up from a snapshot, or put back to its lock."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from devenv.build.delta import SNAPSHOT_LABEL
from devenv.container import container, owner
from devenv.container.labels import Running
from devenv.container.state import Environment
from devenv.drift.observe import image_of_lock
from devenv.snapshot import volumes
from devenv.snapshot.store import Snapshot, Snapshots
from devenv.up.decide import Decided, decide
from devenv.up.prepare import Wishes
from devenv.up.session import Session
from devenv.up.up import Result, up
from devenv.verify.rebuild import restore


def decided(snapshot: Snapshot, session: Session) -> Decided:
    """Preset, lock, plan and layer of a snapshot."""
    kept = Snapshots(session.dirs.snapshots)
    found = dataclasses.replace(decide(kept.preset(snapshot), session), delta=kept.delta(snapshot))
    if snapshot.image.startswith(f"{found.plan.image}-") and session.engine().image_id(snapshot.image):
        # An imported image, under the tag that it has because nobody has proved it. Else it is built again.
        return dataclasses.replace(found, plan=dataclasses.replace(found.plan, image=snapshot.image))
    return found


def with_layer(decided: Decided, image: str, session: Session) -> Decided:
    """The same with the layer of the snapshot that `image` says it was made from, where that is kept here."""
    kept = Snapshots(session.dirs.snapshots)
    snapshot = kept.find(session.engine().image_labels(image).get(SNAPSHOT_LABEL, ""))
    return dataclasses.replace(decided, delta=kept.delta(snapshot)) if snapshot else decided


def known_project(environment: Environment, session: Session) -> Path | None:
    """The project of the environment: that of its container, else the one that its state remembers."""
    running = container.find(environment.name, session.engine())
    project = running.project if running else owner.kept_project(environment)
    return Path(project) if project and Path(project).is_dir() else None


def bring(
    snapshot: Snapshot, environment: Environment, session: Session, *, project: Path | None, wishes: Wishes
) -> Result:
    """Bring an environment up from a snapshot; volumes that it has not yet begin with those of the snapshot."""
    fill = volumes.to_fill(snapshot, Snapshots(session.dirs.snapshots), environment.name)
    wishes = dataclasses.replace(wishes, fill=fill)
    return up(decided(snapshot, session), environment, session, project=project, wishes=wishes)


def reset(running: Running, snapshot: str | None, environment: Environment, session: Session) -> Result:
    """A new container from the environment's lock, or from a snapshot. Raises UsageError, …"""
    project = Path(running.project) if running.project else None
    wishes = Wishes(fresh=True, role=running.role)
    if snapshot:
        found = Snapshots(session.dirs.snapshots).get(snapshot)
        return bring(found, environment, session, project=project, wishes=wishes)
    with tempfile.TemporaryDirectory(prefix="devenv-reset-") as folder:
        reference, _ = image_of_lock(running, session.engine())
        again = decide(restore(reference, Path(folder), session), session, told="as its image carries it")
        return up(again, environment, session, project=project, wishes=wishes)
