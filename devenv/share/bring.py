"""A remote environment here: its image pulled or built, whichever takes fewer bytes, and its snapshot's parts."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devenv.build.build import Image
from devenv.build.delta import Delta
from devenv.doors import files
from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.terminal.console import bytes_text
from devenv.doors.untrusted import from_json
from devenv.errors import ShareError
from devenv.share.load import load
from devenv.snapshot.store import volume_file
from devenv.up.decide import Decided, decide

if TYPE_CHECKING:
    from devenv.doors.terminal.progress import Progress
    from devenv.share.remote import Remote
    from devenv.up.session import Session

Way = Literal["pull", "rebuild"]
_BUILD_LABEL = "dev.devenv.image.build"
_CHUNK_BYTES = 1 << 20


def decided(remote: Remote, way: Way | None, session: Session) -> Decided:
    """Preset, lock, plan and snapshot of a remote environment; `make_image` then has its image pulled or built. `way`:
    None takes the fewer bytes. Raises ShareError for an image that is not this recipe's."""
    found = decide(remote.preset, session)
    if remote.added and remote.added.layer:
        layer = remote.added.layer
        path = remote.folder / "layer.tar"
        delta = Delta(
            path=path, sha256=remote.added.sha256, snapshot=str(remote.place),
            bring=lambda progress: _unpack(remote, layer, path, session, progress),
        )  # fmt: skip
        found = dataclasses.replace(found, delta=delta)
    if remote.config is None:
        if way == "pull":
            raise ShareError(f"{remote.place} is a recipe, and has no image to pull", hint="leave --pull out")
        return found
    if _build_of(remote.config) != found.plan.build_digest:
        if way == "pull":
            raise ShareError(
                f"{remote.place} is not what its recipe gives with this devenv",
                hint="use the devenv version that pushed it, or build it here: --rebuild",
            )
        session.stages.note(f"{remote.place} was pushed by another devenv version: the image is built here")
        return found
    return dataclasses.replace(found, elsewhere=partial(_bring, remote, found, way))


def volumes(remote: Remote, environment: str, session: Session) -> dict[str, Path]:
    """Mount point → tar of a snapshot's volumes, downloaded where they are not here yet. The environment may have
    another name than the one that was kept. Raises ShareError."""
    if remote.added is None or not remote.added.volumes:
        return {}
    own = {f"/mnt/{remote.added.environment}": f"/mnt/{environment}"}
    found = {}
    with session.stages.stage("volumes") as stage:
        stage.cached = True
        for mount, blob in remote.added.volumes.items():
            path = remote.folder / "volumes" / volume_file(mount)
            if not path.is_file():
                stage.cached = False
                path.parent.mkdir(exist_ok=True)
                _unpack(remote, blob, path, session, stage)
            found[own.get(mount, mount)] = path
    return found


def _bring(remote: Remote, found: Decided, way: Way | None, session: Session) -> Image | None:
    """Pull the image, unless building it here takes fewer bytes; None then."""
    assert remote.config is not None
    folder = session.dirs.blobs
    to_pull = sum(layer.size for layer in remote.layers if not (folder / layer.hex).is_file())
    to_build = sum(artifact.size for artifact in session.store.missing(found.lock))
    pulls = way == "pull" or (way is None and to_pull <= to_build)
    session.stages.note(
        f"{remote.place} is {'pulled' if pulls else 'built here'}: {bytes_text(to_pull)} to pull, "
        f"{bytes_text(to_build)} to download for a build"
    )
    if not pulls:
        return None
    engine, tag = session.engine(), found.plan.image
    with session.stages.stage("pull") as stage:
        with remote.place.opened(session) as images:
            images.bring(remote.layers, folder, stage)
        stage.message("unpacking")
        load(remote.config, [folder / layer.hex for layer in remote.layers], tag, engine)
        built = engine.image_id(tag)
        if built is None:
            raise ShareError(f"the engine has not taken {remote.place}", hint="run the command again with -v")
        for layer in remote.layers:
            (folder / layer.hex).unlink(missing_ok=True)
        stage.message(bytes_text(to_pull))
    return Image(reference=tag, id=built, cached=False)


def _unpack(remote: Remote, blob: Descriptor, target: Path, session: Session, progress: Progress) -> None:
    """Download a compressed tar, and put it unpacked in its place. Raises ShareError."""
    import zstandard

    if target.is_file():
        return
    folder, part = session.dirs.blobs, target.with_suffix(".part")
    with remote.place.opened(session) as images:
        images.bring([blob], folder, progress)
    try:
        with (folder / blob.hex).open("rb") as packed, part.open("wb") as plain:
            zstandard.ZstdDecompressor(max_window_size=1 << 27).copy_stream(packed, plain)
        part.replace(target)
        (folder / blob.hex).unlink()
    except (zstandard.ZstdError, OSError) as error:
        part.unlink(missing_ok=True)
        why = files.reason(error) if isinstance(error, OSError) else error
        hint = files.place_hint(error, "name another folder: XDG_STATE_HOME") if isinstance(error, OSError) else None
        raise ShareError(f"cannot unpack {blob.digest} of {remote.place}: {why}", hint=hint) from None


def _build_of(config: bytes) -> str:
    """The build that an image's own label names."""
    told = from_json(config)
    labels = told["config"].get("Labels") if isinstance(told, dict) else None
    return str(labels.get(_BUILD_LABEL, "")) if isinstance(labels, dict) else ""
