"""An image and its recipe, or the recipe alone, to a place for others. The same lock gives the same bytes."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.doors.http.registry.manifest import EMPTY, Descriptor, Manifest, digest_of
from devenv.doors.http.registry.upload import Blob
from devenv.render.sbom import sbom
from devenv.secrets.known import KnownValues
from devenv.share import manifests, provenance, recipe
from devenv.share.formats import (
    BUILD,
    CONFIG,
    DELTA,
    LOCK,
    MODEL,
    PLATFORM,
    PREDICATE,
    RECIPE,
    SBOM,
    SNAPSHOT,
    STATEMENT,
    TITLE,
)
from devenv.share.manifests import Contents
from devenv.share.pack import document, known_config, pack, pack_layer
from devenv.share.secret_check import check
from devenv.snapshot.store import Snapshot, Snapshots
from devenv.verify.rebuild import identity, restore

if TYPE_CHECKING:
    from devenv.build.image import Image
    from devenv.share.along import Along
    from devenv.share.place import Place
    from devenv.up.decide import Decided
    from devenv.up.session import Session


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What is in the place now. `digest` is the manifest's, `identity` that of the image which preset and lock give;
    `sent` bytes of `size` went over the network. `weights`: the digest of the model's manifest, where it went along."""

    reference: str
    digest: str
    identity: str
    recipe: str
    size: int
    sent: int
    weights: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is shared: the image of preset and lock, and a snapshot over it."""

    decided: Decided
    image: Image
    snapshot: Snapshot | None = None


def push(
    subject: Subject, place: Place, known: KnownValues, session: Session, *, recipe_only: bool = False,
    along: Sequence[Along] = (),
) -> Pushed:  # fmt: skip
    """Push the canonical form of an image with its recipe, or the recipe alone, and what goes along attached to it.
    Raises ShareError for what may be secret, and for a place that cannot be written."""
    with tempfile.TemporaryDirectory(prefix="devenv-recipe-") as folder:
        with session.stages.stage("secrets") as stage:
            restore(subject.image.reference, Path(folder), session)
            check(session.engine().image_facts(subject.image.reference), Path(folder), subject.snapshot, known, session)
            stage.message("none")
        added, blobs = _added(subject.snapshot, session)
        recipe_bytes = recipe.pack(Path(folder), added)
    packed = None if recipe_only else pack(subject.image.reference, subject.decided.lock.base, session)
    config = packed.config if packed else _config(subject, session)
    contents = Contents(
        identity=digest_of(config), recipe=recipe_bytes, about=_about(subject), delta=added.layer if added else None
    )
    blobs += _small((contents.recipe, RECIPE), (manifests.NOTHING, EMPTY))
    if packed is None:
        manifest = manifests.recipe(contents)
        attached: tuple[Manifest, ...] = ()
    else:
        if subject.snapshot and added and added.layer:
            config = manifests.with_delta(config, added.sha256, subject.snapshot.name)
        manifest = manifests.image(config, tuple(layer for layer, _ in packed.layers), contents)
        bill, made = sbom(subject.decided.lock), provenance.statement(_build(subject, contents), manifest)
        attached = (
            manifests.recipe(contents, manifest),
            manifests.attachment(SBOM, bill, manifest),
            manifests.attachment(STATEMENT, made, manifest, {PREDICATE: provenance.PREDICATE_TYPE}),
        )
        blobs += _small((config, CONFIG), (bill, SBOM), (made, STATEMENT))
        blobs += [Blob(descriptor=layer, content=path) for layer, path in packed.layers]
    beside = {one.kind: one.manifest(manifest) for one in along}
    blobs += [blob for one in along for blob in one.every()]
    with (
        session.stages.stage("export" if place.near else "push") as stage,
        place.opened(session, writing=True) as images,
    ):
        sent = images.send(blobs, stage)
        images.put(manifest)
        for one in (*attached, *beside.values()):
            images.attach(one)
    return Pushed(
        reference=place.at(manifest.digest), digest=manifest.digest, identity=contents.identity,
        recipe=Descriptor.of(contents.recipe, RECIPE).digest, sent=sent.sent,
        size=sum({blob.descriptor.digest: blob.descriptor.size for blob in blobs}.values()),
        weights=beside[MODEL].digest if MODEL in beside else None,
    )  # fmt: skip


def _config(subject: Subject, session: Session) -> bytes:
    if known := known_config(subject.image.reference, session):
        return known
    return document(identity(subject.image.reference, subject.decided.lock, session).config)


def _small(*every: tuple[bytes, str]) -> list[Blob]:
    return [Blob(descriptor=Descriptor.of(data, kind), content=data) for data, kind in every]


def _build(subject: Subject, contents: Contents) -> provenance.Build:
    plan, lock = subject.decided.plan, subject.decided.lock
    return provenance.Build(
        lock=lock, digest=plan.build_digest, recipe=Descriptor.of(contents.recipe, RECIPE).hex,
        delta=subject.snapshot.layer_sha256 if subject.snapshot else "",
    )  # fmt: skip


def _about(subject: Subject) -> dict[str, str]:
    plan, lock, snapshot = subject.decided.plan, subject.decided.lock, subject.snapshot
    about = {TITLE: plan.preset, BUILD: plan.build_digest, LOCK: lock.digest, PLATFORM: lock.platform}
    return about | ({SNAPSHOT: snapshot.name, DELTA: snapshot.layer_sha256} if snapshot else {})


# ---- a snapshot


def _added(snapshot: Snapshot | None, session: Session) -> tuple[recipe.Added | None, list[Blob]]:
    """What the recipe says about a snapshot, and the blobs of its layer and volumes."""
    if snapshot is None:
        return None, []
    kept = Snapshots(session.dirs.snapshots)
    layer = kept.delta(snapshot)
    with session.stages.stage("pack snapshot") as stage:
        stage.message(snapshot.name)
        packed = pack_layer(layer.path, f"sha256:{layer.sha256}", "snapshot", session.store) if layer else None
        volumes = {
            mount: pack_layer(path, f"sha256:{files.sha256(path)}", mount.strip("/").replace("/", "-"), session.store)
            for mount in snapshot.volumes
            if (path := kept.volume(snapshot, mount))
        }
    added = recipe.Added(
        snapshot=snapshot.name, environment=snapshot.environment, message=snapshot.message, made=snapshot.made,
        allowed=snapshot.allowed, sha256=snapshot.layer_sha256, layer=packed[0] if packed else None,
        volumes={mount: one[0] for mount, one in volumes.items()},
    )  # fmt: skip
    every = [*([packed] if packed else []), *volumes.values()]
    return added, [Blob(descriptor=about, content=path) for about, path in every]
