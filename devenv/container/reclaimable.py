"""What takes disk space and could be had again, beside what `prune` removes by itself."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devenv.doors.dirs import Dirs
    from devenv.doors.docker.engine import Engine


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reclaimable:
    """Bytes on the disk: `stored` of files that devenv would download or make again; `build_cache` of the engine's
    builder, without layers that an image has, too; None where the engine does not say it."""

    stored: int
    build_cache: int | None


def reclaimable(engine: Engine, dirs: Dirs) -> Reclaimable:
    """What is there now. Raises EngineError."""
    counted: set[tuple[int, int]] = set()
    folders = (dirs.store, dirs.blobs, dirs.uploads)
    return Reclaimable(stored=sum(_bytes(one, counted) for one in folders), build_cache=engine.build_cache_bytes())


def _bytes(folder: Path, counted: set[tuple[int, int]]) -> int:
    """The bytes that a folder takes on the disk; a file with several names once."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                facts = os.lstat(os.path.join(parent, name))  # noqa: PTH118 - asked for thousands of files
            except OSError:  # another command removed it meanwhile
                continue
            if (key := (facts.st_dev, facts.st_ino)) not in counted:
                counted.add(key)
                total += facts.st_blocks * 512
    return total
