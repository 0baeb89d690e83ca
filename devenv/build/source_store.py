"""Wheels made from source in the store, by the hash of their inputs: checked before they are kept.

A build runs a stranger's code, so nothing in its result decides where it is kept: the key is that of what went in.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from devenv.doors.untrusted import from_json
from devenv.errors import BuildError, LockError
from devenv.fetch import declared
from devenv.fetch.store import Store, hash_file
from devenv.lock.model import Lock, Source, Wheel
from devenv.plan.cache_keys import source_key
from devenv.resolve.context import Built

KEPT = "source-wheel"
"""The store's name for wheels made from source: folders with one file, by their key."""
_ASKS = "requires.json"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{,199}")
_MOST_BYTES = 4 << 30
_MOST_ASKED, _MOST_ASKED_BYTES = 100, 1 << 20


def kept_wheels(lock: Lock, store: Store) -> Iterator[str]:
    """The build arguments that put the wheels of the store in the place of the stages that make them."""
    for source in lock.sourced:
        if wheel := kept(store, source_key(lock, source)):
            yield from ("--build-context", f"{source.stage}={wheel.parent}")


def keep(result: Path, lock: Lock, source: Source, store: Store) -> Built:
    """Keep the wheel that a stage exported as the tar `result`. Raises BuildError for one of another package."""
    made: list[Built] = []

    def put(folder: Path) -> None:
        folder.mkdir()
        found = _taken(result, folder, source)
        made.append(found)
        if found.wheel is None:
            raise _AskedError

    key = source_key(lock, source)
    is_empty = store.kept(KEPT, key) is not None and kept(store, key) is None  # a cleaner took the file alone
    try:
        place = store.derive(KEPT, key, put, anew=is_empty)
    except _AskedError:
        return made[0]
    return Built(wheel=next(place.glob("*.whl")))


class _AskedError(Exception):
    """There is no wheel to keep yet."""


def _taken(result: Path, folder: Path, source: Source) -> Built:
    try:
        with tarfile.open(result) as archive:
            members = [member for member in archive if member.isreg()]
            if [member.name for member in members] == [_ASKS]:
                content = archive.extractfile(members[0])
                assert content is not None
                return Built(asked=_asked(content, source))
            wheels = [each for each in members if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.!+-]*\.whl", each.name)]
            if len(wheels) != 1 or len(members) != 1 or wheels[0].size > _MOST_BYTES:
                raise BuildError(f"the build of {source.file} made no wheel", hint="take another version")
            path = folder / wheels[0].name
            content = archive.extractfile(wheels[0])
            assert content is not None
            with path.open("xb") as copy:
                shutil.copyfileobj(content, copy, 1 << 20)
    except (tarfile.TarError, OSError) as error:
        raise BuildError(f"the wheel of {source.file} cannot be kept: {error}", hint="run the command again") from None
    version = _version(path) if source.commit else source.version
    wheel = Wheel(name=source.name, version=version, file=path.name, size=path.stat().st_size, sha256=hash_file(path))
    try:
        declared.check(wheel, "wheel", path)
    except LockError as error:
        raise BuildError(
            f"the build of {source.file} made another package's wheel: {error.message}", detail=error.detail,
            hint="do not use this version, because its source is not what the index says",
        ) from None  # fmt: skip
    if not _is_called(path.name, source.name):
        raise BuildError(f"the build of {source.file} made a wheel called {path.name}", hint="take another version")
    return Built(wheel=path)


def _version(wheel: Path) -> str:
    version = declared.wheel_version(wheel)
    if not _VERSION.fullmatch(version):
        raise BuildError(f"the wheel {wheel.name} has the version {version[:80]!r}", hint="name another commit")
    return version


def _is_called(file: str, name: str) -> bool:
    from packaging.utils import canonicalize_name, parse_wheel_filename

    try:
        return parse_wheel_filename(file)[0] == canonicalize_name(name)
    except ValueError:
        return False


def _asked(content: IO[bytes], source: Source) -> tuple[str, ...]:
    try:
        value = from_json(content.read(_MOST_ASKED_BYTES))
    except ValueError:
        value = None
    if not isinstance(value, list) or len(value) > _MOST_ASKED or not all(isinstance(each, str) for each in value):
        raise BuildError(f"the build of {source.file} asks for requirements in an unknown form", hint="take another")
    return tuple(value)


def kept(store: Store, key: str) -> Path | None:
    """The wheel of that key, when the store has it."""
    place = store.kept(KEPT, key)
    return next(place.glob("*.whl"), None) if place else None
