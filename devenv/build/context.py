"""The build context: rendered files, locked artifacts as hard links, and the preset's own files.

One folder per environment that is changed as little as possible, because BuildKit sends only what changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.build.first_stage import base_root
from devenv.doors import files
from devenv.doors.atomic import replacing
from devenv.errors import BuildError, FetchError
from devenv.lock.model import Artifact, Lock
from devenv.plan.cache_keys import root_key
from devenv.plan.plan import Plan
from devenv.plan.tree_digest import unusable, walk, within
from devenv.render.artifacts import artifact_files
from devenv.render.lists import SUMS
from devenv.render.render import CONTEXT_MARKER, Rendered

if TYPE_CHECKING:
    from devenv.fetch.store import Store

_EPOCH_S = 1_700_000_000
_BASE = "artifacts/base/"
ROOT = "artifacts/base-root.tar"
BASE = "base"
"""The store's name for finished bases: tars, by their key."""


def assemble(
    plan: Plan, rendered: Rendered, store: Store | None, target: Path, *, with_files: bool = False, anew: bool = False
) -> Path:
    """Make `target` the plan's build context and return it. Correct files stay untouched, all others are removed.

    `with_files` adds the files for people. Without a store there are no artifacts, because the build downloads them.
    A finished base that the store keeps takes the place of the first-stage root and of its packages: not with
    `with_files`, because the folder is to show what the base is made of, and not with `anew`, which takes nothing that
    an earlier run made.
    Raises FetchError for artifacts that the store lacks, BuildError when the disk does not take it.
    """
    try:
        wanted = dict(_wanted(plan, rendered, store))
        if store and not with_files and not anew and (base := _kept_base(plan, store)):
            wanted = {name: what for name, what in wanted.items() if not name.startswith(_BASE)}
            wanted |= {ROOT: (base, 0o644), f"{_BASE}{SUMS}": (b"", 0o644)}
        elif store and plan.lock.base.kind == "bootstrap":
            wanted[ROOT] = (first_root(plan.lock, store, anew=anew), 0o644)
        if with_files:
            wanted |= {name: (data, 0o644) for name, data in rendered.files.items()}
            wanted[CONTEXT_MARKER] = (b"devenv made this folder and replaces all of it\n", 0o644)
    except OSError as error:
        raise _unwritten(error) from None
    return fill(target, wanted, copies=with_files, anew=anew)


def fill(target: Path, wanted: Mapping[str, What], *, copies: bool = False, anew: bool = False) -> Path:
    """Make `target` a build context of exactly these files, and return it. Files of the store are linked, or copied
    with `copies`; `anew` trusts no earlier copy. Raises BuildError."""
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o755)
        _remove_others(target, wanted)
        for name, (source, mode) in wanted.items():
            if ".." in Path(name).parts:
                raise BuildError(
                    f"{name} leaves the build context",
                    hint="do not use this lock, because it was changed by hand; lock again: devenv lock",
                )
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, bytes | Own):
                _write(path, source, mode)
            elif copies:
                _copy(path, source)
            else:
                _link(path, source, anew=anew)
        # BuildKit keeps the modes of folders: the caller's umask must not reach the image.
        for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
            if folder.stat().st_mode & 0o777 != 0o755:
                folder.chmod(0o755)
    except OSError as error:
        raise _unwritten(error) from None
    return target


def _unwritten(error: OSError) -> BuildError:
    return BuildError(
        f"cannot write the build context: {error}", hint=files.place_hint(error, "free disk space and run again")
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A file of the preset's own: it must lie in the folder `inside`, wherever links lead."""

    path: Path
    inside: Path

    def read(self, most_bytes: int) -> bytes:
        """Its bytes. Raises PresetError."""
        try:
            return files.read(self.path, most_bytes=most_bytes, inside=self.inside)
        except OSError as error:
            raise unusable(self.path, error) from None

    def chunks(self) -> Iterator[bytes]:
        """Its bytes in pieces. Raises PresetError."""
        try:
            yield from files.chunks(self.path, inside=self.inside)
        except OSError as error:
            raise unusable(self.path, error) from None


def own_files(plan: Plan) -> Iterator[tuple[str, tuple[Own, int]]]:
    """The preset's own files: path in the context → file, and the mode."""
    for file in (*plan.files, *((plan.workspace,) if plan.workspace else ())):
        source = Path(file.source)
        for path in walk(source):
            name = f"{file.context}/{path.relative_to(source).as_posix()}" if path != source else file.context
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            yield name, (Own(path=path, inside=within(source)), mode)


What = tuple[bytes | Own | Path, int]
"""A file of a build context: its bytes, a file of the preset's or a store file, and the mode."""


def _wanted(plan: Plan, rendered: Rendered, store: Store | None) -> Iterator[tuple[str, What]]:
    """Path in the context → bytes, a file of the preset's or a store file, and the mode."""
    for name, data in rendered.context.items():
        yield name, (data, rendered.modes.get(name, 0o644))
    if store is None:  # the rendered files include the preset's own, because the folder has a list of their hashes
        return
    yield from own_files(plan)
    yield from in_store(artifact_files(plan), store)


def in_store(wanted: Iterable[tuple[str, Artifact]], store: Store) -> Iterator[tuple[str, What]]:
    """The store's files for these places. Raises FetchError for one that it lacks."""
    for name, artifact in wanted:
        path = store.path(artifact.sha256)
        if not path.is_file():
            raise FetchError(f"{artifact.file} is not in the store", hint="run 'devenv up' or 'devenv fetch' again")
        yield name, (path, 0o644)


def _kept_base(plan: Plan, store: Store) -> Path | None:
    """The plan's base as an earlier build made it, when the store has it."""
    return store.kept(BASE, plan.base) if plan.base else None


def first_root(lock: Lock, store: Store, *, anew: bool = False) -> Path:
    """The first-stage root of the base's packages, made once per store."""
    packages = [store.path(deb.sha256) for deb in lock.base.packages]
    return store.derive("base-root", root_key(lock), lambda path: base_root(packages, path), anew=anew)


def _remove_others(target: Path, wanted: Mapping[str, object]) -> None:
    keep = {target / name for name in wanted}
    folders = {parent for path in keep for parent in path.parents}
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if path not in folders:
                shutil.rmtree(path)
        elif path not in keep:
            path.unlink(missing_ok=True)


def _write(path: Path, source: bytes | Own, mode: int) -> None:
    """Write a file with a time that follows from its content, because BuildKit treats equal size and time as equal."""
    if _is_written(path, source, mode):
        return
    digest = hashlib.sha256()
    with replacing(path) as fresh:
        with fresh.open("wb") as file:
            for chunk in _chunks(source):
                digest.update(chunk)
                file.write(chunk)
        time_ns = _time_ns(digest.digest())
        fresh.chmod(mode)
        os.utime(fresh, ns=(time_ns, time_ns))


def _is_written(path: Path, source: bytes | Own, mode: int) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    found = path.stat()
    if found.st_mode & 0o777 != mode:
        return False
    wanted = _digest(_chunks(source))
    return found.st_mtime_ns == _time_ns(wanted) and _digest(files.chunks(path)) == wanted


def _chunks(source: bytes | Own) -> Iterable[bytes]:
    return (source,) if isinstance(source, bytes) else source.chunks()


def _digest(chunks: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def _time_ns(digest: bytes) -> int:
    return _EPOCH_S * 1_000_000_000 + int.from_bytes(digest[:4]) % 1_000_000_000


def _link(path: Path, source: Path, *, anew: bool) -> None:
    """Hard-link a store file; copy it where the store lies on another file system. `anew`: trust no earlier copy."""
    if path.exists() and (path.samefile(source) or (not anew and _same_copy(path, source))):
        return
    with replacing(path) as fresh:
        try:
            os.link(source, fresh)
        except OSError:
            shutil.copy2(source, fresh)


def _copy(path: Path, source: Path) -> None:
    """A copy of a store file, because a user's changes in that folder must not reach the store."""
    if path.exists() and not path.samefile(source) and _same_copy(path, source):
        return
    with replacing(path) as fresh:
        shutil.copy2(source, fresh)


def _same_copy(path: Path, source: Path) -> bool:
    here, there = path.stat(), source.stat()
    return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
