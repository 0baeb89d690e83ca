"""A preset that is checked without being locked: its mistakes, all at once, and its versions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from devenv.errors import PresetError
from devenv.preset.load import find, load
from devenv.preset.yaml.nodes import display
from devenv.resolve.ensure import fits


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """The verdict on one preset: its file's `name`, the mistakes, and warnings about versions."""

    name: str
    mistakes: tuple[PresetError, ...] = ()
    warnings: tuple[str, ...] = ()


def validate(argument: str | None, cwd: Path, config: Path) -> Validated:
    """Check the preset that a command's PRESET means. `config`: devenv's configuration folder."""
    name = argument or "devenv.yaml"
    try:
        path = find(argument, cwd)
        name = display(path)
        return Validated(name=name, warnings=fits(load(path), config))
    except PresetError as error:
        return Validated(name=name, mistakes=error.problems or (error,))
