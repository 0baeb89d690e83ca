"""A remote environment here: its image pulled or built, whichever takes fewer bytes, and its snapshot's parts."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devenv.build import own_images
from devenv.build.delta import Delta
from devenv.build.image import Image
from devenv.doors import files
from devenv.doors.docker.local_tag import BELOW_TAG
from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.terminal.console import bytes_text
from devenv.doors.untrusted import from_json
from devenv.errors import DriftError, EngineError, ShareError
from devenv.share.arriving import arriving
from devenv.share.load import Parts, best_cut, check, loading
from devenv.share.model_source import model_from
from devenv.share.recipe import LAYER, VOLUMES
from devenv.share.tars import decompressed, written
from devenv.snapshot.store import volume_file
from devenv.snapshot.volumes import mount_in
from devenv.up.decide import Decided, decide
from devenv.verify.rebuild import BUILD_LABEL, identity

if TYPE_CHECKING:
    from devenv.doors.terminal.progress import Progress
    from devenv.share.remote import Remote
    from devenv.up.session import Session

Way = Literal["pull", "rebuild"]


def decided(remote: Remote, way: Way | None, session: Session) -> Decided:
    """Preset, lock, plan and snapshot of a remote environment, and where its model may be beside the hubs; `make_image`
    then has its image pulled or built. `way`:
    None takes an image that was built here, else the fewer bytes. Raises ShareError for an image that is not this
    recipe's."""
    found = dataclasses.replace(
        decide(remote.preset, session), model_from=model_from(remote.place, remote.digest)
    )  # fmt: skip
    if _pulls(remote, found, way, session):
        # A tag of its own: nobody has proved that it is what the lock gives, so no other `up` may take it for that.
        plan = dataclasses.replace(found.plan, image=_pulled(found, remote))
        found = dataclasses.replace(found, plan=plan, elsewhere=partial(_pull, remote, plan.image))
    else:
        found = dataclasses.replace(found, check=partial(_check, remote, found.lock.digest))
    if remote.added is None or remote.added.layer is None:
        return found
    layer, path, delta_sha256 = remote.added.layer, remote.folder / LAYER, remote.added.sha256
    delta = Delta(
        path=path, sha256=delta_sha256, snapshot=str(remote.place),
        bring=lambda progress: _unpack(remote, layer, path, session, progress, sha256=delta_sha256),
    )  # fmt: skip
    return dataclasses.replace(found, delta=delta)


def volumes(remote: Remote, environment: str, session: Session) -> dict[str, Path]:
    """Mount point → tar of a snapshot's volumes, downloaded where they are not here yet. The environment may have
    another name than the one that was kept. Raises ShareError."""
    if remote.added is None or not remote.added.volumes:
        return {}
    found = {}
    with session.stages.stage("volumes") as stage:
        stage.cached = True
        for mount, blob in remote.added.volumes.items():
            path = remote.folder / VOLUMES / volume_file(mount)
            if not path.is_file():
                stage.cached = False
                path.parent.mkdir(exist_ok=True)
                _unpack(remote, blob, path, session, stage)
            found[mount_in(environment, mount, remote.added.environment)] = path
    return found


def _pulls(remote: Remote, found: Decided, way: Way | None, session: Session) -> bool:
    """Whether the image is pulled; else it is built here. Raises ShareError where it has to be pulled and cannot."""
    if remote.config is None:
        if way == "pull":
            raise ShareError(
                f"{remote.place} is a recipe, and has no image to pull", hint=f"build it here: devenv up {remote.place}"
            )
        return False
    if _build_of(remote.config) != found.plan.build_digest:
        if way == "pull":
            raise ShareError(
                f"{remote.place} is not what its recipe gives with this devenv",
                hint="use the devenv version that pushed it, or build it here: --rebuild",
            )
        session.stages.note(f"{remote.place} was pushed by another devenv version: the image is built here")
        return False
    engine = session.engine()
    if way == "rebuild":
        return False
    if engine.image_id(_pulled(found, remote)):  # before the next, so that an environment keeps its image
        return True
    if way is None and engine.image_id(found.plan.image):
        return False
    here = session.dirs.blobs
    wanted = remote.layers[_known(remote, session) :]
    to_pull = sum(layer.size for layer in wanted if not (here / layer.hex).is_file())
    to_build = sum(artifact.size for artifact in session.store.missing(found.lock))
    pulls = way == "pull" or remote.place.near or to_pull <= to_build
    session.stages.note(
        f"{remote.place}: {bytes_text(to_pull)} to load"
        if remote.place.near
        else f"{remote.place} is {'pulled' if pulls else 'built here'}: {bytes_text(to_pull)} to pull, "
        f"{bytes_text(to_build)} to download for a build"
    )
    return pulls


def _pulled(found: Decided, remote: Remote) -> str:
    return f"{found.plan.image}-pulled-{remote.identity.removeprefix('sha256:')[:16]}"


def _known(remote: Remote, session: Session) -> int:
    """How many of the first layers the engine has, because another image has them, too."""
    told = from_json(remote.config or b"{}")
    diff_ids = (told.get("rootfs") or {}).get("diff_ids") or ()
    return session.engine().layers_here(diff_ids) if len(diff_ids) == len(remote.layers) else 0


def _pull(remote: Remote, tag: str, session: Session) -> Image:
    if known := _known(remote, session):
        try:
            return _pull_after(known, remote, tag, session)
        except EngineError:
            session.stages.note("the engine did not take the image with the layers that it has: all are sent")
    return _pull_after(0, remote, tag, session)


def _pull_after(known: int, remote: Remote, tag: str, session: Session) -> Image:
    """Bring all layers but the first `known` to the engine."""
    assert remote.config is not None
    engine, wanted = session.engine(), remote.layers[known:]
    cut = best_cut(remote.layers, known) if engine.takes_rest() else known
    with session.stages.stage("load" if remote.place.near else "pull") as stage, arriving(session) as folder:
        with (
            own_images.passing(BELOW_TAG, engine, session.dirs.images) if cut > known else nullcontext("") as below,
            remote.place.opened(session) as images,
        ):
            parts = Parts(layers=remote.layers, known=known, cut=cut, below=below)
            with loading(
                remote.config, parts, tag, engine, folder, stage=stage, cancel=session.cancel
            ) as arrivals:  # fmt: skip
                images.bring(parts.in_order, folder, stage, placed=arrivals.placed, grew=arrivals.grew)
        built = engine.image_id(tag)
        if built is None:
            raise ShareError(f"the engine has not taken {remote.place}", hint="run the command again with -v")
        for layer in remote.layers:
            (folder / layer.hex).unlink(missing_ok=True)
        stage.message(bytes_text(sum(layer.size for layer in wanted)))
    return Image(reference=tag, id=built, cached=False)


def _check(remote: Remote, lock_digest: str, built: Decided, image: Image, session: Session) -> None:
    """Raise DriftError for an image that was built here and is not the one that the recipe names."""
    if built.lock.digest != lock_digest:
        session.stages.note("the lock was changed here, so the image is not the one that was pushed")
        return
    found = identity(image.reference, built.lock, session)
    if found.digest != remote.identity:
        raise DriftError(
            f"{remote.place} names the image {remote.identity}, and its recipe gives {found.digest} here",
            hint=f"do not use it; what the recipe gives is another environment: devenv up {remote.preset}",
        )


def _unpack(
    remote: Remote, blob: Descriptor, target: Path, session: Session, progress: Progress, *, sha256: str = ""
) -> None:  # fmt: skip
    """Download a compressed tar, and put it unpacked in its place; `sha256` is what the tar has to have, where it is
    known. Raises ShareError."""
    if target.is_file():
        return
    part = target.with_suffix(".part")
    with arriving(session) as folder:
        if target.is_file():  # by another run
            return
        packed = folder / blob.hex
        with remote.place.opened(session) as images:
            images.bring([blob], folder, progress)
        try:
            with packed.open("rb") as source:
                check(blob.hex, source)
            with packed.open("rb") as source:
                found = written(decompressed(source), part)
            if sha256 and found != sha256:
                raise ShareError(
                    f"{blob.digest} of {remote.place} is not the layer that its recipe names", hint="do not use it"
                )
            part.replace(target)
        except OSError as error:
            raise ShareError(
                f"cannot unpack {blob.digest} of {remote.place}: {files.reason(error)}",
                hint=files.place_hint(error, "name another folder: XDG_STATE_HOME"),
            ) from None
        finally:
            part.unlink(missing_ok=True)
        packed.unlink(missing_ok=True)


def _build_of(config: bytes) -> str:
    """The build that an image's own label names."""
    told = from_json(config)
    labels = told["config"].get("Labels") if isinstance(told, dict) else None
    return str(labels.get(BUILD_LABEL, "")) if isinstance(labels, dict) else ""
