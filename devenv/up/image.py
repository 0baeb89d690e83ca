"""The image of a plan: fetched, rendered and built, unless it is here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from devenv.build import delta, own_images
from devenv.build.image import Image
from devenv.build.image import find as find_plain
from devenv.doors.docker.engine import Engine
from devenv.doors.file_lock import hold
from devenv.errors import BuildError, EngineError, FetchError, LockError, ShareError
from devenv.lock.files import relocked_path
from devenv.lock.files import write as write_lock
from devenv.plan.plan import plan
from devenv.up.decide import Decided
from devenv.up.session import Session

if TYPE_CHECKING:
    from devenv.fetch.fetch import FetchReport, GoneError
    from devenv.lock.model import Lock
    from devenv.preset.load import LoadedPreset


def find_image(decided: Decided, engine: Engine) -> Image | None:
    """The image of a run, when this engine has it."""
    return delta.find(decided.plan, decided.delta, engine) if decided.delta else find_plain(decided.plan, engine)


def make_image(
    decided: Decided, session: Session, *, no_cache: bool = False, relock: bool = False
) -> tuple[Decided, Image]:
    """The run's image: that of preset and lock, and a snapshot's layer over it. Raises FetchError, BuildError,
    EngineError."""
    engine = session.engine()
    if not no_cache and (here := find_image(decided, engine)):
        if decided.delta and find_plain(decided.plan, engine) is None:
            _make_below(decided, session)
        return decided, here
    decided, below = _plain(decided, session, no_cache=no_cache, relock=relock)
    if decided.delta is None:
        return decided, below
    with session.stages.stage("snapshot") as stage:
        image = delta.build(
            decided.plan, decided.delta, below, engine, own=session.dirs.images, progress=stage, cancel=session.cancel
        )  # fmt: skip
        stage.message(image.reference)
    return decided, image


def _make_below(decided: Decided, session: Session) -> None:
    """Make the image below a snapshot's layer again, because `diff`, `snapshot` and `reset` read it. The environment
    runs without it, so a failure is a note."""
    try:
        _plain(decided, session, no_cache=False, relock=False)
    except (FetchError, LockError, BuildError, EngineError, ShareError) as error:
        session.stages.note(
            f"the image {decided.plan.image}, which 'devenv diff' compares with, is gone and cannot be made now: "
            f"{error.message}"
        )


def _plain(decided: Decided, session: Session, *, no_cache: bool, relock: bool) -> tuple[Decided, Image]:
    """Fetch what is missing and build, unless the image is here. Two runs at once build once.

    With `relock`, Debian packages that no mirror has any more are locked again; returns the plan that was built.
    Raises FetchError, BuildError, EngineError.
    """
    engine = session.engine()
    if not no_cache and (here := find_plain(decided.plan, engine)):
        return decided, here
    # Imported only here, because a warm start does not need them.
    from devenv.build.build import build
    from devenv.build.context import assemble
    from devenv.doors.docker.buildx import check_buildx
    from devenv.fetch.fetch import GoneError
    from devenv.render.render import render

    check_buildx()
    folder = session.dirs.contexts / decided.plan.preset
    waiting = session.waiting_for("builds this preset")
    with hold(folder.with_suffix(".lock"), waiting, session.cancel):
        if not no_cache and (here := find_plain(decided.plan, engine)):
            return decided, here
        if decided.elsewhere and not no_cache:
            own_images.keep(session.dirs.images, [decided.plan.image])
            return decided, decided.elsewhere(session)
        try:
            bring_files(decided.loaded, decided.lock, session, anew=no_cache)
        except GoneError as gone:
            if not relock or gone.kind != "deb":
                raise
            decided = _relocked(decided, gone, session)
            bring_files(decided.loaded, decided.lock, session, anew=no_cache)
        session.cancel.check()
        with session.stages.stage("render"):
            assemble(decided.plan, render(decided.plan), session.store, folder, anew=no_cache)
        _keep_tags(decided, session, engine)
        with session.stages.stage("build") as stage:
            image = build(
                decided.plan, folder, engine, session.store, progress=stage, no_cache=no_cache, cancel=session.cancel
            )  # fmt: skip
            stage.message(image.reference)
        if decided.check:
            decided.check(decided, image, session)
    return decided, image


def _keep_tags(decided: Decided, session: Session, engine: Engine) -> None:
    """Remember the images that this user makes now, because existing ones may be another user's."""
    tags = (decided.plan.image, decided.plan.editor_image, decided.lock.base.tag)
    own_images.keep(session.dirs.images, [tag for tag in tags if tag and engine.image_id(tag) is None])


def bring_files(loaded: LoadedPreset, lock: Lock, session: Session, *, anew: bool = False) -> FetchReport:
    """Fetch what the store lacks of the lock's files, as a stage; `anew` reads the others again first. Raises
    FetchError, and LockError for a file whose metadata does not fit the lock."""
    from devenv.fetch import declared
    from devenv.fetch.fetch import fetch
    from devenv.fetch.sources import archives, repositories

    with session.stages.stage("fetch") as stage:
        fetched = fetch(
            lock, store=session.store, settings=session.settings, progress=stage, files=archives(loaded.preset),
            repositories=repositories(loaded.preset),
            anew=anew, cancel=session.cancel,
        )  # fmt: skip
        declared.check_all(lock, session.store)
        stage.cached = fetched.files == 0 and not anew
        return fetched


def _relocked(decided: Decided, gone: GoneError, session: Session) -> Decided:
    """The same preset with a lock whose missing Debian packages were resolved again. Always with a note."""
    from devenv.resolve.resolver import refresh_missing

    names = ", ".join(one.file for one in gone.missing[:3]) + (" …" if gone.missing[3:] else "")
    session.stages.note(
        f"no mirror has {len(gone.missing)} locked Debian packages any more ({names}); locking them again"
    )
    with session.stages.stage("relock") as stage:
        lock = refresh_missing(decided.lock, gone.missing, decided.loaded, session.resolving(stage))
        place = relocked_path(decided.loaded, session.dirs)
        write_lock(lock, place)
        stage.message(str(place))
    return dataclasses.replace(decided, lock=lock, plan=plan(decided.loaded, lock))
