"""The lock's files beside an image: whoever has them rebuilds, verifies and extends it without a network."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.http.registry.upload import Blob
from devenv.share.along import Along
from devenv.share.formats import FILE, SOURCES, TITLE

if TYPE_CHECKING:
    from devenv.doors.http.registry.manifest import Manifest
    from devenv.fetch.store import Store
    from devenv.lock.model import Artifact, Lock
    from devenv.share.layout import Layout
    from devenv.up.session import Session

_TASK = "locked files"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The lock's files after an import. `offered`: how many of `files` the layout has; `taken`: those of them that the
    store lacked; `missing`: those that it still lacks."""

    files: int
    offered: int
    taken: int
    missing: tuple[Artifact, ...]


def along(lock: Lock, store: Store) -> Along:
    """The lock's files, which the store has."""
    blobs = [
        Blob(
            descriptor=Descriptor(
                media_type=FILE, digest=f"sha256:{file.sha256}", size=file.size, annotations=((TITLE, file.file),)
            ),
            content=store.path(file.sha256),
        )
        for file in lock.artifacts()
    ]  # fmt: skip
    return Along(kind=SOURCES, blobs=tuple(blobs))


def take_in(lock: Lock, subject: Manifest, images: Layout, session: Session) -> Sources:
    """Put the lock's files that a layout has into the store. The lock alone decides which; each is verified. Raises
    ShareError, FetchError."""
    offered = {
        blob.digest: blob
        for manifest in images.attached(subject)
        if manifest.artifact_type == SOURCES
        for blob in manifest.layers
    }
    store = session.store
    lacks = {one.digest for one in images.lacks()}
    offered = {digest: blob for digest, blob in offered.items() if digest not in lacks}
    wanted = [file for file in store.missing(lock) if f"sha256:{file.sha256}" in offered]
    if wanted:
        with session.stages.stage("sources") as stage:
            stage.start(_TASK, sum(file.size for file in wanted))
            try:
                for file in wanted:
                    store.receive(images.chunks(offered[f"sha256:{file.sha256}"]), file)
                    stage.advance(_TASK, file.size)
            finally:
                stage.finish(_TASK)
            stage.message(f"{len(wanted)} files")
    every = lock.artifacts()
    count = sum(f"sha256:{file.sha256}" in offered for file in every)
    return Sources(files=len(every), offered=count, taken=len(wanted), missing=store.missing(lock))
