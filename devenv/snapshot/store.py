"""The snapshots of this user: one folder each, put in place whole.

NAME/snapshot.json            what it is (`Snapshot`)
NAME/preset/preset.yaml       the preset, with all that it names beside it; devenv.lock
NAME/layer.tar                the layer
NAME/volumes/*.tar            volumes, where they were asked for
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devenv.build.delta import Delta
from devenv.container.names import is_name
from devenv.doors import files
from devenv.doors.file_lock import hold
from devenv.doors.untrusted import from_json, value_of
from devenv.errors import ShareError, UsageError
from devenv.preset.load import shipped

FORMAT = 1
_RECORD = "snapshot.json"
_MOST_BYTES = 4 << 20
_UNFINISHED = ".unfinished-"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot. `made`: UTC, as ISO 8601; `parent`: the snapshot that its environment was made from; `layer_sha256`
    is empty when preset and lock say everything; `allowed`: paths that were let through although they may be secret;
    `volumes`: mount point to bytes; `origin`: the digest of the image or recipe that was imported, empty for a snapshot
    of this machine; `image`: the tag of that image on the engine."""

    format: int = FORMAT
    name: str
    environment: str
    preset: str
    message: str
    made: str
    user: str
    parent: str = ""
    lock_digest: str
    layer_sha256: str = ""
    layer_bytes: int = 0
    layer_paths: int = 0
    allowed: tuple[str, ...] = ()
    volumes: dict[str, int] = dataclasses.field(default_factory=dict)
    origin: str = ""
    image: str = ""


class Snapshots:
    """The folder of snapshots."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def unreadable(self) -> tuple[str, ...]:
        """The names of those that are damaged, or that a newer devenv made."""
        names = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        return tuple(sorted(name for name in names if is_name(name) and self._read(name) is None))

    def every(self) -> tuple[Snapshot, ...]:
        """All readable snapshots, the oldest first."""
        names = sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []
        found = [one for name in names if is_name(name) and (one := self._read(name))]
        return tuple(sorted(found, key=lambda one: (one.made, one.name)))

    def find(self, name: str) -> Snapshot | None:
        """The snapshot of that name, or None."""
        return self._read(name) if is_name(name) else None

    def get(self, name: str) -> Snapshot:
        """The snapshot of that name. Raises UsageError."""
        if (found := self.find(name)) is None:
            if is_name(name) and self.exists(name):
                raise UsageError(
                    f"the snapshot {name} cannot be read: it is damaged, or a newer devenv made it",
                    where=str(self._folder / name),
                    hint=f"use that devenv, or remove it: devenv snapshots rm {name}",
                )
            names = ", ".join(one.name for one in self.every()) or "none"
            raise UsageError(f"unknown snapshot {name!r}; snapshots here: {names}", hint="devenv snapshots")
        return found

    def preset(self, snapshot: Snapshot) -> Path:
        """The preset's file; its lock lies beside it."""
        return self._folder / snapshot.name / "preset" / "preset.yaml"

    def delta(self, snapshot: Snapshot) -> Delta | None:
        """The layer."""
        if not snapshot.layer_sha256:
            return None
        path = self._folder / snapshot.name / "layer.tar"
        return Delta(path=path, sha256=snapshot.layer_sha256, snapshot=snapshot.name)

    def volume(self, snapshot: Snapshot, mount: str) -> Path:
        """The tar of a volume."""
        return self._folder / snapshot.name / "volumes" / volume_file(mount)

    def size(self, snapshot: Snapshot) -> int:
        """Bytes on disk."""
        every = (self._folder / snapshot.name).rglob("*")
        return sum(path.lstat().st_size for path in every if path.is_file() and not path.is_symlink())

    def exists(self, name: str) -> bool:
        """Whether anything has that name."""
        return os.path.lexists(self._folder / name)

    def check_new(self, name: str) -> None:
        """Raise UsageError for a name that cannot be a new snapshot's."""
        if not is_name(name):
            raise UsageError(
                f"{name!r} cannot be a snapshot's name", hint="use small letters, digits and '-', at most 40"
            )
        if name in shipped():
            raise UsageError(f"{name} is a shipped preset", hint="choose another name: devenv snapshot ENV NAME")
        if self.exists(name):
            raise UsageError(
                f"there is a snapshot {name} already", hint=f"choose another name, or: devenv snapshots rm {name}"
            )

    @contextmanager
    def new(self, name: str, waiting: Callable[[], None]) -> Iterator[Path]:
        """A folder to fill; at the end it is the snapshot `name`. After an error nothing of it is left."""
        with hold(self._folder / ".lock", waiting):
            self.check_new(name)
            for path in self._folder.glob(f"{_UNFINISHED}*"):  # of killed runs
                shutil.rmtree(path, ignore_errors=True)
            with self._filled(name) as place:
                yield place

    @contextmanager
    def _filled(self, name: str) -> Iterator[Path]:
        place = None
        try:
            place = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._folder))
            yield place
            place.rename(self._folder / name)
        except OSError as error:
            raise ShareError(
                f"cannot write the snapshot {name}: {files.reason(error)}",
                hint=files.place_hint(error, "name another folder: XDG_STATE_HOME"),
            ) from None
        finally:
            if place is not None:
                shutil.rmtree(place, ignore_errors=True)

    def write(self, place: Path, snapshot: Snapshot) -> None:
        """Write what it is."""
        text = json.dumps(dataclasses.asdict(snapshot), indent=2, sort_keys=True, ensure_ascii=False)
        files.write_below(place, _RECORD, f"{text}\n".encode())

    def remove(self, name: str, waiting: Callable[[], None]) -> None:
        """Remove a snapshot, one that cannot be read too; the images that were made from it stay until 'devenv prune'.
        Raises UsageError, ShareError."""
        with hold(self._folder / ".lock", waiting):
            if not (is_name(name) and self.exists(name)):
                self.get(name)
            try:
                place = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._folder))
                (self._folder / name).rename(place / name)  # a kill from here on leaves nothing of that name
                shutil.rmtree(place)
            except OSError as error:
                raise ShareError(
                    f"cannot remove the snapshot {name}: {files.reason(error)}", where=str(self._folder / name),
                    hint="remove the folder by hand",
                ) from None  # fmt: skip

    def _read(self, name: str) -> Snapshot | None:
        folder = self._folder / name
        try:
            value = from_json(files.read_text(folder / _RECORD, most_bytes=_MOST_BYTES, inside=folder))
            found = value_of(Snapshot, value)
        except (OSError, ValueError):
            return None
        return found if found.format <= FORMAT and found.name == name else None


def volume_file(mount: str) -> str:
    """The file name for a volume's mount point: of its hash, because paths are longer than names, and have slashes."""
    return f"{hashlib.sha256(mount.encode()).hexdigest()[:32]}.tar"
