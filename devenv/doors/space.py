"""Free space of a file system, asked for before it is used up."""

from __future__ import annotations

import shutil
from pathlib import Path

from devenv.doors.terminal.console import bytes_text
from devenv.errors import ShareError


def require_space(folder: Path, wanted: int, *, to: str, hint: str) -> None:
    """Raise ShareError where fewer bytes are free; `to` is the verb for what they are wanted for."""
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise ShareError(
            f"not enough disk space: {bytes_text(wanted)} to {to}, {bytes_text(free)} free", where=str(folder),
            hint=hint,
        )  # fmt: skip
