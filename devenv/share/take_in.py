"""An exported environment to this machine: its image on the engine, its locked files in the store, and its preset, lock
and layer as a snapshot, which `devenv up` knows by name. Nothing asks for a network."""

from __future__ import annotations

import dataclasses
import datetime as dt
import getpass
import shutil
import tarfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.container.names import is_name
from devenv.errors import ShareError
from devenv.preset.load import shipped
from devenv.share import carried_weights, recipe, sources
from devenv.share.bring import decided, volumes
from devenv.share.remote import look
from devenv.snapshot import naming
from devenv.snapshot.store import Snapshot, Snapshots
from devenv.up.image import make_image

if TYPE_CHECKING:
    from devenv.share.layout import InLayout
    from devenv.share.remote import Remote
    from devenv.share.sources import Sources
    from devenv.up.decide import Decided
    from devenv.up.session import Session


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """An imported environment. `snapshot`: what `up` is given; `image`: its tag on the engine, None for a recipe, and
    for an image that another version of devenv made and this one has not; `weights`: how many of the model's files came
    along, and how many are missing."""

    snapshot: Snapshot
    digest: str
    identity: str
    image: str | None
    sources: Sources
    weights: tuple[int, int] | None


def take_in(place: InLayout, session: Session, *, project: Path | None) -> TakenIn:
    """Bring an image or recipe and all that came with it to this machine. What is here already is not brought again.
    `project`: as for `look`. Raises ShareError for a layout that is damaged, incomplete or not devenv's."""
    remote = look(place, session, project=project)
    found = decided(remote, None, session)
    with place.opened(session) as images:
        top = images.manifest(remote.digest)
        files = sources.take_in(found.lock, top, images, session)
        weights = carried_weights.take_in(found.lock, top, images, session)
    image, brought = None, ""
    if found.elsewhere:
        _, made = make_image(dataclasses.replace(found, delta=None), session)
        image = brought = made.reference
    elif remote.config is not None and session.engine().image_id(found.plan.image):
        image = found.plan.image  # it was built here
    snapshot = _kept(remote, found, brought, session)
    return TakenIn(
        snapshot=snapshot, digest=remote.digest, identity=remote.identity, image=image, sources=files, weights=weights
    )  # fmt: skip


def _kept(remote: Remote, found: Decided, image: str, session: Session) -> Snapshot:
    """The snapshot that stands for it; the same layout gives the same one again."""
    kept, added = Snapshots(session.dirs.snapshots), remote.added
    if there := next((one for one in kept.every() if one.origin == remote.digest), None):
        return there
    name = _free_name(found.plan.preset, added, kept)
    filled = volumes(remote, added.environment, session) if added else {}
    with session.stages.stage("keep") as stage, kept.new(name, session.waiting_for("is writing a snapshot")) as place:
        shutil.copytree(remote.folder, place / "preset", ignore=partial(_beside, remote.folder))
        layer, sizes = place / "layer.tar", {}
        if found.delta and found.delta.bring:
            found.delta.bring(stage)
            found.delta.path.replace(layer)
        for mount, path in filled.items():
            sizes[mount] = path.stat().st_size
            (place / "volumes").mkdir(exist_ok=True)
            path.replace(place / "volumes" / path.name)
        snapshot = Snapshot(
            name=name, environment=added.environment if added and is_name(added.environment) else found.plan.preset,
            preset=found.plan.preset, message=added.message if added else f"imported from {remote.place}",
            made=_made(added), user=getpass.getuser(),
            lock_digest=found.lock.digest, layer_sha256=added.sha256 if added and added.layer else "",
            layer_bytes=layer.stat().st_size if layer.is_file() else 0, layer_paths=_count(layer),
            allowed=added.allowed if added else (), volumes=sizes, origin=remote.digest,
            image=image,
        )  # fmt: skip
        kept.write(place, snapshot)
        stage.message(name)
    return snapshot


def _beside(top: Path, folder: str, names: Iterable[str]) -> set[str]:
    """What lies beside preset and lock in the folder of a recipe; the preset's own files may have the same names."""
    return {recipe.ADDED, recipe.LAYER, recipe.VOLUMES} & {*names} if Path(folder) == top else set()


def _free_name(preset: str, added: recipe.Added | None, kept: Snapshots) -> str:
    if added and is_name(added.snapshot) and added.snapshot not in shipped() and not kept.exists(added.snapshot):
        return added.snapshot
    return naming.next_name(preset, kept)


def _made(added: recipe.Added | None) -> str:
    """When the snapshot was made, so that a further export of it is the same; now, for what states no time."""
    try:
        return dt.datetime.fromisoformat(added.made if added else "").isoformat(timespec="seconds")
    except ValueError:
        return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _count(layer: Path) -> int:
    """The paths of a layer. Raises ShareError."""
    if not layer.is_file():
        return 0
    count = 0
    try:
        with tarfile.open(layer, "r|") as archive:
            for _ in archive:
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                count += 1
    except (tarfile.TarError, EOFError) as error:
        raise ShareError(f"the snapshot's layer cannot be read: {error}", hint="export it again") from None
    return count
