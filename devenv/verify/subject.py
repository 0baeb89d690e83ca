"""What `devenv verify` compares: an image, and the preset and lock that it is to be made of."""

from __future__ import annotations

from pathlib import Path

from devenv.container import container
from devenv.errors import PresetError, UsageError
from devenv.preset.load import find
from devenv.up.decide import Decided, decide
from devenv.up.image import make_image
from devenv.up.session import Session
from devenv.verify.rebuild import restore


def subject(
    what: str | None, session: Session, *, cwd: Path, folder: Path, image: str | None = None
) -> tuple[str, Decided]:
    """The reference of an image, and what it is compared with. `what` is a preset (None: that of `cwd`), an environment
    or an image; the last two are compared with the preset that they carry, which is put into `folder`. A preset's image
    is built where it is missing; with `image`, that one is compared with the preset instead. Raises UsageError."""
    try:
        path = find(what, cwd)
    except PresetError:
        if what is None or image is not None:
            raise
        reference = _image_of(what, session)
        return reference, decide(restore(reference, folder, session), session)
    decided = decide(path, session)
    if image is not None:
        return image, decided
    decided, made = make_image(decided, session)
    return made.reference, decided


def _image_of(name: str, session: Session) -> str:
    engine = session.engine()
    every = container.everything(engine)
    running = next((one for one in every if one.name == name and not one.unreadable), None)
    reference = running.facts.image if running else name
    if engine.image_id(reference) is None:
        raise UsageError(
            f"unknown preset, environment or image {name!r}",
            hint="list them: devenv presets, devenv ps, docker images",
        ) from None
    return reference
