"""A model's files beside an image, from the store of weights into another one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from devenv.errors import UsageError
from devenv.share import model_pack
from devenv.share.formats import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devenv.doors.http.registry.manifest import Manifest
    from devenv.lock.model import Lock, LockedModel, ModelFile
    from devenv.share.along import Along
    from devenv.share.layout import Layout
    from devenv.up.session import Session
    from devenv.weights.store import Weights

_TASK = "weights"


def along(lock: Lock, store: Weights) -> Along:
    """The files of the lock's model, which the store has. Raises UsageError."""
    model = lock.model
    if model is None:
        raise UsageError(
            f"the lock of {lock.preset} has no model's files",
            hint="bring them to this machine first: devenv prefetch" if lock.open else "leave --weights out",
        )
    if missing := store.missing(model):
        raise UsageError(
            f"{len(missing)} files of {model.key} are not on this machine", hint="fetch them first: devenv prefetch"
        )
    return model_pack.artifact(model, store.folder(model.key))


def take_in(lock: Lock, subject: Manifest, images: Layout, session: Session) -> tuple[int, int] | None:
    """Put the files of the lock's model that a layout has into the store of weights, verified: how many it has, and how
    many are still missing. None where it has none. Raises ShareError, FetchError."""
    offered = {
        blob.digest: blob
        for manifest in images.attached(subject)
        if manifest.artifact_type == MODEL
        for blob in manifest.layers
    }
    lacks = {one.digest for one in images.lacks()}
    offered = {digest: blob for digest, blob in offered.items() if digest not in lacks}
    model = lock.model
    if not offered or model is None:
        return None
    from devenv.weights.store import Weights

    store = Weights(session.settings.hubs.dir)
    with session.stages.stage("weights") as stage, store.only(model.key, session.waiting_for("fetches this model")):
        wanted = [file for file in store.missing(model) if f"sha256:{file.sha256}" in offered]
        stage.cached = not wanted
        if wanted:
            store.begin(model)
        stage.start(_TASK, sum(file.size for file in wanted))
        try:
            for file in wanted:
                for chunk in _kept(store, model, file, images.chunks(offered[f"sha256:{file.sha256}"])):
                    stage.advance(_TASK, chunk)
        finally:
            stage.finish(_TASK)
        stage.message(model.key)
        return sum(f"sha256:{file.sha256}" in offered for file in model.files), len(store.missing(model))


def _kept(store: Weights, model: LockedModel, file: ModelFile, chunks: Iterator[bytes]) -> Iterator[int]:
    """Write a file whose bytes are verified as they come; yields their numbers."""
    fresh = store.parts(model.key) / f"{file.sha256}.import"  # a killed run's is removed by the next `begin`
    try:
        with fresh.open("wb") as target:
            for chunk in chunks:
                target.write(chunk)
                yield len(chunk)
        store.put(model, file, fresh)
    except OSError as error:
        raise store.failed(error) from None
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
