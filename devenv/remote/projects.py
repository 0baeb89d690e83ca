"""The projects of this machine that have a folder on a box, from the states of their synchronisation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path


def projects(folder: Path) -> Iterator[Path]:
    """The projects of one target; `folder` is that of its links."""
    for path in sorted(folder.glob("projects/*.state")):
        try:
            with path.open("rb") as file:
                values = json.loads(file.readline())
            yield Path(str(values["project"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
