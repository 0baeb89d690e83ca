"""Images and networks that devenv made and no environment uses; and their removal."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from devenv.build import own_images
from devenv.build.delta import BELOW_LABEL
from devenv.container import container, devcontainer, network, once
from devenv.container.labels import RUN
from devenv.container.names import is_name
from devenv.container.state import environment
from devenv.doors.dirs import Dirs
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.docker.local_tag import BASE_TAG, EDITOR_TAG, LOCAL
from devenv.doors.file_lock import hold
from devenv.errors import EngineError


@dataclasses.dataclass(slots=True, kw_only=True)
class Pruned:
    """What was, or would be, removed. `images` with their bytes; `kept`: another container uses them; `others`: another
    user or an older devenv made them; `runs`: containers of one-off commands that never began."""

    images: dict[str, int] = dataclasses.field(default_factory=dict)
    kept: list[str] = dataclasses.field(default_factory=list)
    others: list[str] = dataclasses.field(default_factory=list)
    networks: list[str] = dataclasses.field(default_factory=list)
    runs: list[str] = dataclasses.field(default_factory=list)
    folders: list[Path] = dataclasses.field(default_factory=list)


def prune(
    engine: Engine,
    dirs: Dirs,
    *,
    everything: bool,
    all_users: bool,
    dry_run: bool,
    wanted: Container[str] = (),
    waiting: Callable[[], None],
) -> Pruned:
    """Remove images and networks that no environment uses, and build contexts; with `everything` the stored files too.
    Those of other users of this engine stay, unless `all_users`, and `wanted` tags. A `dry_run` removes nothing."""
    stored = (dirs.store, dirs.blobs, dirs.uploads) if everything else ()
    done = Pruned(folders=[one for one in (dirs.contexts, dirs.recipes, *stored) if one.exists()])
    with contextlib.ExitStack() as held:
        # Wait for a running build, fetch or lock, and remove nothing that it is about to use.
        for lock in [] if dry_run else _locks(dirs, everything=everything):
            held.enter_context(hold(lock, waiting))
        for tag, size_bytes in _unused(engine, everything=everything):
            if tag in wanted:
                continue
            if not all_users and not own_images.is_own(dirs.images, tag):
                done.others.append(tag)
            elif dry_run or _remove(engine, dirs, tag):
                done.images[tag] = size_bytes
            else:
                done.kept.append(tag)
        for folder in [] if dry_run else done.folders:
            shutil.rmtree(folder, ignore_errors=True)
    for name in sorted({run.labels[RUN] for run in once.every(engine) if run.state == "created"}):
        if is_name(name):
            state = environment(name, dirs.environments)
            with state.locked(waiting):
                done.runs += once.remove_left(state, engine, dry_run=dry_run)
    for unused in network.unused(engine):
        name = unused.labels[f"{LABEL}name"]
        is_ours = is_name(name) and (all_users or network.is_own(unused, environment(name, dirs.environments)))
        if is_ours and (dry_run or engine.remove_network(unused.id)):
            done.networks.append(unused.name)
    return done


def _locks(dirs: Dirs, *, everything: bool) -> Iterator[Path]:
    yield from dirs.contexts.glob("*.lock")
    if everything:
        yield from (dirs.store / "tmp").glob("*.lock")


def _unused(engine: Engine, *, everything: bool) -> Iterator[tuple[str, int]]:
    """Tag and size of devenv's images that no environment uses, bases last."""
    clients = [one.facts for one in devcontainer.everything(engine)]
    users = (*(one.facts for one in container.everything(engine)), *clients, *once.every(engine))
    used = {one.image for one in users}
    # A dev container's image is often one that its client made from ours.
    named = {one.labels.get(f"{LABEL}image", "") for one in clients}
    editors = {one.labels.get(f"{LABEL}editor", "") for one in users}
    every = engine.images("")
    below = {_below(one, engine) for one in used}
    left = Counter(image for _, image, _ in every)
    for tag, image, size_bytes in sorted(every, key=lambda one: one[0].startswith(BASE_TAG)):
        if not tag.startswith(("devenv/", f"{LOCAL}devenv")) or image in used or tag in editors | below | named:
            continue
        # The compiled editor, and the last tag of a base, take long to make again.
        lasts = tag.startswith(EDITOR_TAG) or (tag.startswith(BASE_TAG) and left[image] == 1)
        if not lasts or everything:
            left[image] -= 1
            yield tag, size_bytes


def _below(image: str, engine: Engine) -> str:
    """The image that a used one is a snapshot's layer over: 'diff' and 'snapshot' compare with it."""
    with contextlib.suppress(EngineError):  # it was removed by force
        return engine.image_labels(image).get(BELOW_LABEL, "")
    return ""


def _remove(engine: Engine, dirs: Dirs, tag: str) -> bool:
    """Remove a tag unless another container uses it; returns whether it was removed."""
    try:
        engine.remove_image(tag)
    except EngineError:
        return False
    own_images.forget(dirs.images, tag)
    return True
