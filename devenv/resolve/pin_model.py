"""A model that is not pinned yet: the first run that needs it records it from its hubs' metadata."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.doors import files
from devenv.doors.untrusted import from_json
from devenv.errors import FetchError
from devenv.lock.model import MAX_BYTES, Lock, LockedModel
from devenv.preset.model import COMMIT

if TYPE_CHECKING:
    from devenv.doors.http.web import Web
    from devenv.doors.settings.settings import Settings
    from devenv.fetch.store import Store
    from devenv.preset.model import Preset


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A model's files, and their origin: `hubs`, or an earlier record of this machine (then `hubs` is empty)."""

    model: LockedModel
    hubs: tuple[str, ...]
    unreached: tuple[str, ...] = ()

    def words(self) -> str:
        """The record in one line: model, origin, size, and digest."""
        from devenv.doors.terminal.console import bytes_text

        hubs = " and ".join(self.hubs)
        at = [
            f"{source.hub} {source.id}@{source.revision[:12]}"
            for source in self.model.sources
            if source.hub in self.hubs
        ]
        whence = f"from {hubs} ({', '.join(at)})" if hubs else "from an earlier record of this machine"
        return (
            f"recorded the model {self.model.name} {whence}: {len(self.model.files)} files, "
            f"{bytes_text(self.model.size)}, sha256 {self.model.digest}"
        )

    def remarks(self) -> tuple[str, ...]:
        """Warnings of a successful run."""
        hubs = " and ".join(self.hubs)
        asked = [source for source in self.model.sources if source.hub in self.hubs]
        moving = [source for source in asked if not re.fullmatch(COMMIT, source.revision)]
        return (
            *(f"{reason}; so the model is recorded from {hubs} alone" for reason in self.unreached),
            *(
                f"{source.hub}'s revision {source.revision!r} is a name that may move: "
                "the lock records its present files"
                for source in (moving if len(moving) == len(asked) else ())
            ),
        )

    def json(self) -> dict[str, Any]:
        """`recorded` of `up --json` and `prefetch --json`, without the lock's path."""
        return {
            "digest": self.model.digest, "files": len(self.model.files), "bytes": self.model.size,
            "hubs": list(self.hubs), "unreached": list(self.unreached),
        }  # fmt: skip


def record(
    preset: Preset, pins: object, *, settings: Settings, web: Web, store: Store, asked: Sequence[str] = (),
    known: bool = True,
) -> Recorded:  # fmt: skip
    """The preset's model: as this machine recorded it earlier under the same `pins`, else as the hubs list it now.

    Without `known` the hubs are always contacted; `asked`: always contact these, and no others. Raises FetchError,
    LockError, UsageError.
    """
    from devenv.resolve.model import resolve_model

    assert preset.model is not None
    if known and not asked and (earlier := _earlier(pins, settings.dirs.locks)):
        return Recorded(model=earlier, hubs=())
    told = resolve_model(preset.model, settings=settings, web=web, store=store, asked=asked)
    return Recorded(model=told.model, hubs=told.answered, unreached=told.unreached)


def complete(
    lock: Lock, preset: Preset, place: Path, *, settings: Settings, store: Store, asked: Sequence[str] = ()
) -> tuple[Lock, Recorded]:
    """The lock with its open model recorded. Writes nothing; `place` is where it will go, for the error's remedy.

    The same revision gives the same lock on every machine. Raises FetchError, LockError, UsageError.
    """
    from devenv.doors.http.hubs import UnreachedError
    from devenv.doors.http.web import Web

    with Web(settings) as web:
        try:
            found = record(preset, lock.inputs.get("model"), settings=settings, web=web, store=store, asked=asked)
        except UnreachedError as error:
            raise FetchError(
                f"the model is not pinned yet, and cannot be recorded: {error.message}",
                detail=error.detail,
                hint=f"{error.hint or 'check the network'}; or record it on a machine with "
                f"a network, and copy that lock to {place}",
            ) from None
    return lock.model_copy(update={"model": found.model, "open": None}), found


def known(lock: Lock, settings: Settings) -> Lock:
    """The lock with its open model as this machine recorded it earlier; the lock itself where it did not."""
    earlier = _earlier(lock.inputs.get("model"), settings.dirs.locks) if lock.open else None
    return lock.model_copy(update={"model": earlier, "open": None}) if earlier else lock


def _earlier(pins: object, folder: Path) -> LockedModel | None:
    """The model of the newest lock among this machine's own that was recorded for these pins."""
    for path in _locks(folder):
        try:
            data = from_json(files.read_text(path, most_bytes=MAX_BYTES))
            if isinstance(data, dict) and _pins(data) == pins and data.get("model"):
                return LockedModel.model_validate(data["model"])
        except (OSError, ValueError):
            continue  # a damaged lock is of no use, and not to be repaired here
    return None


def _locks(folder: Path) -> tuple[Path, ...]:
    """The newest first."""
    found = []
    for path in folder.glob("*.lock") if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # another devenv removed it meanwhile
            found.append((-path.stat().st_mtime_ns, path))
    return tuple(one for _, one in sorted(found))


def _pins(data: Mapping[str, object]) -> object:
    inputs = data.get("inputs")
    return inputs.get("model") if isinstance(inputs, Mapping) else None
