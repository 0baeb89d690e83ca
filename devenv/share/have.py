"""What a receiver has already, so that it is left out: the files of a lock, or all of an earlier export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devenv.lock.model import read
from devenv.share.layout_files import is_layout, layout_files

if TYPE_CHECKING:
    from pathlib import Path


def known(path: Path) -> frozenset[str]:
    """The sha256 (hex) of each. Raises ShareError, LockError."""
    if is_layout(path) or path.is_dir():
        with layout_files(path) as found:
            return found.blobs()
    lock = read(path)
    return frozenset(file.sha256 for file in lock.artifacts()) | {
        file.sha256 for file in (lock.model.files if lock.model else ())
    }
