"""The images that were made from snapshots."""

from __future__ import annotations

from pathlib import Path

from devenv.build import own_images
from devenv.build.delta import SNAPSHOT_LABEL
from devenv.doors.docker.engine import Engine
from devenv.errors import EngineError


def remove_images(snapshot: str, engine: Engine, own: Path) -> tuple[str, ...]:
    """Remove the images of a snapshot that no container uses and that this user made (`own`: the folder that tells);
    returns their tags. Where no engine answers there is nothing to remove."""
    try:
        tags = [tag for tag, _, _ in engine.images("devenv/") if _is_of(snapshot, tag, engine)]
    except EngineError:
        return ()
    removed = []
    for tag in tags:
        if not own_images.is_own(own, tag):
            continue
        try:
            engine.remove_image(tag)
        except EngineError:
            continue  # a container uses it; 'devenv prune' removes it later
        own_images.forget(own, tag)
        removed.append(tag)
    return tuple(removed)


def _is_of(snapshot: str, tag: str, engine: Engine) -> bool:
    return engine.image_labels(tag).get(SNAPSHOT_LABEL) == snapshot
