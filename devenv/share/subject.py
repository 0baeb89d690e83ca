"""What `push` shares: an environment as it is now, a snapshot, or a preset's image."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.preset.load import find
from devenv.share import carried_weights
from devenv.share.push import Subject
from devenv.snapshot import bring_back, naming
from devenv.snapshot.store import Snapshots
from devenv.snapshot.take import Wanted, take
from devenv.up.decide import Decided, decide
from devenv.up.image import make_image
from devenv.weights.store import Weights

if TYPE_CHECKING:
    from devenv.container.labels import Running
    from devenv.secrets.known import KnownValues
    from devenv.snapshot.store import Snapshot
    from devenv.up.session import Session


@contextlib.contextmanager
def of_environment(
    running: Running, known: KnownValues, session: Session, *, message: str, weights: bool = False
) -> Iterator[Subject]:
    """An environment: what its lock does not say becomes a snapshot. One that holds nothing more than the lock says is
    removed again. `weights`: the model is shared too. Raises ShareError, UsageError."""
    kept = Snapshots(session.dirs.snapshots)
    name = naming.next_name(running.name, kept)
    taken = take(running, Wanted(name=name, message=message), known, session)
    try:
        found = of_snapshot(taken.snapshot, session, weights=weights)
        if found.snapshot:
            session.stages.note(f"{running.name} was changed; the snapshot {name} keeps what its lock does not say")
        yield found
    finally:
        if not taken.snapshot.layer_sha256:
            kept.remove(name, session.waiting_for("is writing a snapshot"))


def of_snapshot(snapshot: Snapshot, session: Session, *, weights: bool = False) -> Subject:
    """A snapshot; one without a layer and volumes is its preset's image. Raises FetchError, BuildError, UsageError."""
    decided = dataclasses.replace(bring_back.decided(snapshot, session), delta=None)
    found = _made(decided, session, weights=weights)
    has_more = snapshot.layer_sha256 or snapshot.volumes
    return dataclasses.replace(found, snapshot=snapshot) if has_more else found


def of_preset(name: str | None, cwd: Path, session: Session, *, weights: bool = False) -> Subject:
    """A preset's image, built where it is missing. Raises PresetError, FetchError, BuildError, UsageError."""
    return _made(decide(find(name, cwd), session), session, weights=weights)


def _made(decided: Decided, session: Session, *, weights: bool) -> Subject:
    if weights:  # a missing model is an error before an image is built
        carried_weights.along(decided.lock, Weights(session.settings.hubs.dir))
    decided, image = make_image(decided, session)
    return Subject(decided=decided, image=image)
