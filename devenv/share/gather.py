"""The parts of an export, together or one by one: each is verified, and kept until all are here."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.doors.file_lock import hold
from devenv.errors import ShareError, UsageError
from devenv.share.layout import InLayout
from devenv.share.layout_write import disk, require_space
from devenv.share.parts import Part, Parts, checked, index_name, is_index, sync, whole_name

if TYPE_CHECKING:
    from devenv.up.session import Session

_INDEX = "index.json"
_TASK = "verify parts"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """`place`: the layout, once all its parts are here; until then `missing` has the names of the others."""

    place: InLayout | None
    name: str
    count: int
    missing: tuple[str, ...] = ()


@contextlib.contextmanager
def gathered(paths: Sequence[Path], session: Session, others: Sequence[Path] = ()) -> Iterator[Gathered]:
    """The layout that these files or this folder are. Parts that came alone are kept, and removed after the layout was
    used without an error. `others`: earlier exports, for what it lacks. Raises ShareError, UsageError."""
    first = paths[0]
    if len(paths) == 1 and whole_name(first) is None:
        if not files.is_there(first):
            raise UsageError(f"{first} does not exist", hint="name an exported folder, tar or part")
        yield Gathered(place=InLayout(path=first, others=tuple(others)), name=first.name, count=1)
        return
    names = {whole_name(path) for path in paths}
    if len(names) != 1 or None in names:
        raise UsageError("these are not the parts of one export", hint="import one export at a time")
    index = _index(paths, str(whole_name(first)), session)
    parts = Parts.read(index)
    given = {parts.named(path).name: path for path in paths if not is_index(path)}
    if not given:  # the index alone: all parts that lie beside it
        given = {one.name: path for one in parts.parts if files.is_there(path := first.with_name(one.name))}
    folder = session.dirs.cache / "imports" / hashlib.sha256(parts.text()).hexdigest()
    with hold(folder / ".lock", session.waiting_for("imports these parts"), session.cancel, leave_nothing=True):
        here = {one.name: folder / one.name for one in parts.parts if (folder / one.name).is_file()}
        whole = len({*here, *given}) == len(parts.parts)
        with session.stages.stage("parts") as stage:
            stage.start(_TASK, sum(one.size for one in parts.parts if one.name in given))
            for one in parts.parts:
                if one.name in given and one.name not in here:
                    stage.message(one.name)
                    _verify(given[one.name], one, None if whole else folder)
                    here[one.name] = given[one.name]
                    stage.advance(_TASK, one.size)
            stage.finish(_TASK)
            stage.message(f"{len(here)} of {len(parts.parts)}")
        if not whole:
            files.write_below(folder, _INDEX, parts.text())
            missing = tuple(one.name for one in parts.parts if one.name not in here)
            yield Gathered(place=None, name=parts.name, count=len(parts.parts), missing=missing)
            return
        every = tuple(here[one.name] for one in parts.parts)
        place = InLayout(path=first.with_name(parts.name), parts=every, others=tuple(others))
        yield Gathered(place=place, name=parts.name, count=len(every))
        shutil.rmtree(folder, ignore_errors=True)


def _index(paths: Sequence[Path], name: str, session: Session) -> Path:
    """The index of parts: named, beside a part, or kept from an earlier part. Raises ShareError."""
    for path in paths:
        index = path if is_index(path) else path.with_name(index_name(name))
        if files.is_there(index):
            return index
    kept = sorted(
        (session.dirs.cache / "imports").glob(f"*/{_INDEX}"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for path in kept:
        if Parts.read(path).name == name:
            return path
    raise ShareError(
        f"{index_name(name)} is missing, which has the sha256 of each part",
        hint=f"copy it beside {paths[0]}; without it the export was not finished",
    )


def _verify(path: Path, part: Part, folder: Path | None) -> None:
    """Read a part to its end, and copy it to `folder` where one is given. Raises ShareError."""
    if folder is None:
        for _ in checked(path, part):
            pass
        return
    with disk(folder):
        require_space(folder, part.size)
        fresh = folder / ".unfinished"
        fresh.unlink(missing_ok=True)
        try:
            with fresh.open("xb") as file:
                for chunk in checked(path, part):
                    file.write(chunk)
                sync(file)
            fresh.replace(folder / part.name)
        finally:
            fresh.unlink(missing_ok=True)
