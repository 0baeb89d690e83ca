"""conda's names of packages, from conda_names.yaml."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from devenv.doors import files
from devenv.doors.untrusted import from_yaml, value_of


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What conda's names stand for."""

    renamed: dict[str, str]
    same: frozenset[str]
    debian: dict[str, str]
    ignored: frozenset[str]


@functools.cache
def names() -> Names:
    """The tables of the file beside this module."""
    return value_of(Names, from_yaml(files.read_text(Path(__file__).with_suffix(".yaml"))))
