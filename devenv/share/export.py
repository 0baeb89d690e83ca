"""Environments to a file or folder: what `push` sends, or what another place has, and the locked files beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors.http.registry.manifest import Descriptor, Manifest
from devenv.doors.http.registry.upload import Blob
from devenv.errors import ShareError
from devenv.share import carried_weights, sources
from devenv.share.along import Along
from devenv.share.arriving import arriving
from devenv.share.formats import LARGE, MODEL, RECIPE, RECIPE_ARTIFACT, RECIPE_DIGEST, RECIPE_SIZE, SOURCES
from devenv.share.parts import Parts, index_name
from devenv.share.push import push
from devenv.up.decide import decide
from devenv.up.image import bring_files
from devenv.weights.store import Weights

if TYPE_CHECKING:
    from devenv.secrets.known import KnownValues
    from devenv.share.layout import InLayout
    from devenv.share.push import Subject
    from devenv.share.remote import Remote
    from devenv.up.decide import Decided
    from devenv.up.session import Session


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written. `path`: the folder, the tar or the index of its parts, which the receiver imports; `parts`: the
    files of the parts; `digest` is the manifest's, `identity` that of the image which preset and lock give; `files`:
    how many files of lock and model go along; `size`: bytes of all, and `left_out` of what the receiver has already."""

    path: str
    parts: tuple[str, ...]
    digest: str
    identity: str
    size: int
    left_out: int
    files: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is exported: without `recipe_only` the image; the lock's files; the model's."""

    recipe_only: bool = False
    sources: bool = False
    weights: bool = False


def export(subject: Subject, place: InLayout, known: KnownValues, session: Session, *, extent: Extent) -> Exported:
    """Write the canonical form of an image with its recipe, or the recipe alone. Raises ShareError for what may be
    secret, and for a place that cannot be written; FetchError for a locked file that cannot be fetched; UsageError for
    weights that are not on this machine."""
    along = _along(subject.decided, session, extent)
    pushed = push(subject, place, known, session, recipe_only=extent.recipe_only, along=along)
    return _exported(place, pushed.digest, pushed.identity, session)


def copy(remote: Remote, place: InLayout, session: Session, *, extent: Extent) -> Exported:
    """Write what another place has, with all that is attached to it; a registry's model only where weights are asked
    for. Raises as `export` does."""
    source = remote.place
    with source.opened(session) as images:
        top = images.manifest(remote.digest)
        attached = list(images.attached(top))
    if not (source.near or extent.weights):
        attached = [one for one in attached if one.artifact_type != MODEL]
    if extent.recipe_only and remote.config:
        top, attached = _recipe_of(attached, remote), []
    if any(one.artifact_type == MODEL for one in attached):
        extent = dataclasses.replace(extent, weights=False)
    along = tuple[Along, ...]()
    if extent.sources or extent.weights:
        along = _along(decide(remote.preset, session), session, extent)
    again = {one.kind for one in along}
    attached = [one for one in attached if one.artifact_type not in again]
    with (
        session.stages.stage("copy") as stage,
        arriving(session) as folder,
        source.opened(session) as images,
    ):
        wanted = [*{one.digest: one for one in _blobs([top, *attached], remote)}.values()]
        wanted = [one for one in wanted if not (one.hex in place.left_out and one.media_type in LARGE)]
        kept = [one for one in wanted if (folder / one.hex).is_file()]
        images.bring(wanted, folder, stage)
        with place.opened(session, writing=True) as out:
            blobs = [Blob(descriptor=one, content=folder / one.hex) for one in wanted]
            out.send([*blobs, *(blob for one in along for blob in one.every())], stage)
            out.put(top)
            for manifest in (*attached, *(one.manifest(top) for one in along)):
                out.attach(manifest)
        for blob in wanted:
            if blob not in kept:
                (folder / blob.hex).unlink(missing_ok=True)
    return _exported(place, top.digest, remote.identity, session)


def _along(decided: Decided, session: Session, extent: Extent) -> tuple[Along, ...]:
    """All of the lock's files, which are fetched where they are missing, and the model's, which are here."""
    along = []
    if extent.weights:
        along.append(carried_weights.along(decided.lock, Weights(session.settings.hubs.dir)))
    if extent.sources:
        bring_files(decided.loaded, decided.lock, session)
        along.append(sources.along(decided.lock, session.store))
    return tuple(along)


def _recipe_of(attached: Sequence[Manifest], remote: Remote) -> Manifest:
    for manifest in attached:
        if manifest.artifact_type == RECIPE_ARTIFACT:
            return manifest
    raise ShareError(
        f"{remote.place} has no recipe of its own beside the image", hint="leave --recipe out: the image has it too"
    )


def _blobs(every: Sequence[Manifest], remote: Remote) -> Iterator[Descriptor]:
    """All that these manifests lead to; the volumes of a snapshot stand in its recipe."""
    for manifest in every:
        yield from (*([manifest.config] if manifest.config else []), *manifest.layers)
    about = dict(every[0].annotations)  # `look` has checked them
    yield Descriptor(media_type=RECIPE, digest=about[RECIPE_DIGEST], size=int(about[RECIPE_SIZE]))
    if remote.added:
        yield from remote.added.blobs()


def _exported(place: InLayout, digest: str, identity: str, session: Session) -> Exported:
    path, parts = place.path, tuple[Path, ...]()
    if place.part_bytes is not None:
        path = path.with_name(index_name(path.name))
        found = Parts.read(path)
        size, parts = found.size, tuple(path.with_name(part.name) for part in found.parts)
    else:
        size = sum(one.stat().st_size for one in ([path] if place.tar else path.rglob("*")) if one.is_file())
    left_out = 0
    with dataclasses.replace(place, parts=parts).opened(session) as layout:
        if place.left_out:
            left_out = sum(one.size for one in layout.lacks())
        attached = layout.attached(layout.manifest())
    return Exported(
        path=str(path), parts=tuple(map(str, parts)), digest=digest, identity=identity, size=size, left_out=left_out,
        files=sum(len(one.layers) for one in attached if one.artifact_type in (SOURCES, MODEL)),
    )  # fmt: skip
