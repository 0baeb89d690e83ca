"""A preset's alternatives do the same work with less. This finds the first that a machine can run."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doctor.finding import Needs, blockers
from devenv.errors import PresetError

if TYPE_CHECKING:
    from devenv.compat.matrix import Matrix
    from devenv.doors.machine.model import Machine
    from devenv.preset.load import LoadedPreset


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """A preset that the machine can run in place of another: its name, and the remedy in words (a command)."""

    name: str
    command: str
    remedy: str


def instead(
    loaded: LoadedPreset,
    machine: Machine,
    matrix: Matrix,
    needs_of: Callable[[LoadedPreset], Needs],
    *,
    gpus: str | None = None,
    mode: str = "auto",
) -> Instead | None:
    """The first alternative that `doctor` has no blocker for, or None. devenv suggests it, and never switches to it."""
    from devenv.doctor.examine import examine

    for candidate in _candidates(loaded):
        preset = candidate.preset
        asked = gpus if preset.gpu else None  # requested GPUs do not matter to a preset for the CPU
        if not blockers(examine(machine, preset, needs_of(candidate), matrix, gpus=asked, mode=mode)):
            return _said(loaded, candidate)
    return None


def _candidates(loaded: LoadedPreset) -> Iterator[LoadedPreset]:
    """The readable alternatives, without the preset itself (a child may inherit a list that names it)."""
    from devenv.preset.load import find, load

    for argument in loaded.preset.alternatives:
        try:
            one = load(find(argument, Path("/")))
        except PresetError:
            continue  # it does not help now; 'devenv validate' reports its mistakes
        if one.path != loaded.path:
            yield one


def _said(loaded: LoadedPreset, one: LoadedPreset) -> Instead:
    name = one.preset.name
    argument = name if one.shipped else shlex.quote(str(one.path))
    command = f"devenv up {argument}"
    mark = loaded.origins.get(("alternatives",))
    if mark is not None and mark.path != loaded.path:
        # A child's own additions to the preset it extends would be lost.
        remedy = f"extend {argument} instead: this machine can run it, and it does the work of {_parent(mark.path)}"
    else:
        remedy = f"{command} does the same work with less, and this machine can run it"
    return Instead(name=name, command=command, remedy=remedy)


def _parent(path: Path) -> str:
    from devenv.preset.load import is_shipped

    return path.parent.name if is_shipped(path) else str(path)
