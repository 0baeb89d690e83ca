"""The tags that this user's devenv gave to images, because an image does not record who made it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from devenv.doors.docker.engine import Engine
from devenv.errors import EngineError


def keep(folder: Path, tags: Iterable[str]) -> None:
    """Remember tags, before their images are made: a kill in between leaves an extra name, never an extra image."""
    folder.mkdir(parents=True, exist_ok=True)
    for tag in tags:
        _file(folder, tag).touch()


def is_own(folder: Path, tag: str) -> bool:
    """Whether this user's devenv gave that tag."""
    return _file(folder, tag).is_file()


def forget(folder: Path, tag: str) -> None:
    """Forget a removed tag."""
    _file(folder, tag).unlink(missing_ok=True)


@contextlib.contextmanager
def held(image_id: str, begins: str, engine: Engine, folder: Path) -> Iterator[str]:
    """The image under a tag of its own, which begins with `begins` (see `local_tag`): BuildKit takes no ids, and no
    other run moves or removes it."""
    with passing(begins, engine, folder) as name:
        engine.tag(image_id, name)
        yield name


@contextlib.contextmanager
def passing(begins: str, engine: Engine, folder: Path) -> Iterator[str]:
    """A tag for an image that is needed within the `with` alone; it is removed at the end."""
    name = f"{begins}{secrets.token_hex(8)}"
    keep(folder, [name])
    try:
        yield name
    finally:
        with contextlib.suppress(EngineError):  # 'devenv prune' may have removed it
            engine.remove_image(name)
        forget(folder, name)


def _file(folder: Path, tag: str) -> Path:
    return folder / quote(tag, safe="")
