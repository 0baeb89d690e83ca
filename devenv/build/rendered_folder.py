"""The folder that `devenv render` writes and compares: files for people, or a build context with them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.errors import RenderError
from devenv.plan.plan import plan
from devenv.render import devcontainer
from devenv.render.render import render, render_configuration

if TYPE_CHECKING:
    from devenv.fetch.store import Store
    from devenv.lock.model import Lock
    from devenv.plan.plan import Plan
    from devenv.preset.load import LoadedPreset
    from devenv.render.kubernetes.words import Wanted
    from devenv.render.render import Rendered


class Kind(Enum):
    """What the folder holds beside the files for people."""

    FILES = auto()
    """Nothing: devenv builds the image."""
    WITH_ARTIFACTS = auto()
    """Every input of the build."""
    ONLINE = auto()
    """The build context without artifacts, which the build downloads."""
    CONFIGURATION = auto()
    """One of several dev container configurations alone; devenv builds the image."""
    CLUSTER = auto()
    """The objects of a cluster alone."""
    BATCH = auto()
    """A batch script for Slurm alone."""


_OWN_FILES = (Kind.FILES, Kind.CONFIGURATION, Kind.CLUSTER, Kind.BATCH)
"""Kinds that are single files among the user's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFolder:
    """What `target` is to hold."""

    loaded: LoadedPreset
    plan: Plan
    rendered: Rendered
    target: Path
    kind: Kind

    @property
    def names(self) -> tuple[str, ...]:
        """The files, by path below `target`; without the build context that comes with artifacts."""
        if self.kind is Kind.ONLINE:
            return tuple(sorted(self.rendered.files.keys() | self.rendered.context.keys()))
        return tuple(self.rendered.files)

    def differences(self) -> str:
        """A unified diff from what lies in `target`; empty when equal."""
        if self.kind is Kind.ONLINE:
            from devenv.build.standalone import differences

            return differences(self.rendered, self.target)
        return self.rendered.differences(self.target)

    def write(self, fetch: Callable[[], Store]) -> tuple[Path, ...]:
        """Write it; returns the changed files for people. `fetch` brings the lock's files into a store and returns it;
        it is called only where they are needed. Raises RenderError before that for a folder with files of the user's.
        """
        if self.kind in _OWN_FILES:
            return self.rendered.write(self.target)
        from devenv.build.context import assemble
        from devenv.build.standalone import changes

        self.require_free()
        if self.kind is Kind.ONLINE:
            changed = changes(self.rendered, self.target)
            assemble(self.plan, self.rendered, None, self.target, with_files=True)
            return changed
        store = fetch()
        changed = tuple(self.target / name for name in self.names if not (self.target / name).is_file())
        assemble(self.plan, self.rendered, store, self.target, with_files=True)
        return changed

    def require_free(self) -> None:
        """Raise RenderError unless `write` may replace what lies in `target`."""
        if self.kind in _OWN_FILES:
            self.rendered.require_free(self.target)
            return
        from devenv.build.standalone import free

        self._require_own(free(self.rendered, self.target) if self.kind is Kind.ONLINE else self._is_free())

    def _is_free(self) -> bool:
        return not self.target.is_dir() or not any(self.target.iterdir()) or self.rendered.owns(self.target)

    def _require_own(self, is_free: bool) -> None:
        if self.loaded.path.is_relative_to(self.target.resolve()):
            why = "holds the preset"
        elif not is_free:
            why = "is not empty"
        else:
            return
        raise RenderError(f"cannot replace {self.target}: it {why}", hint="choose another folder with -o")


def render_folder(
    loaded: LoadedPreset, lock: Lock, place: Path, kind: Kind, *, configuration: str = "",
    dockerfile: Path | None = None, wanted: Wanted | None = None,
) -> RenderedFolder:  # fmt: skip
    """The folder of a preset and its lock, to be written to `place`, or `place`/.devcontainer for the kind ONLINE;
    `configuration`: the name of the one to write, and a `dockerfile` of the user's own for it; `wanted`: for CLUSTER
    and BATCH.
    Raises RenderError."""
    decided = _for_others(plan(loaded, lock), loaded, place)
    if kind is Kind.ONLINE:
        from devenv.build import standalone
        from devenv.fetch.sources import archives

        target = standalone.place(place)
        rendered = standalone.folder(decided, archives(loaded.preset))
    elif kind is Kind.CLUSTER:
        from devenv.render.kubernetes.files import render_kubernetes

        assert wanted
        target, rendered = place, render_kubernetes(decided, wanted)
    elif kind is Kind.BATCH:
        from devenv.render.slurm.script import render_slurm

        assert wanted
        target, rendered = place, render_slurm(decided, wanted)
    elif kind is Kind.CONFIGURATION:
        own = _from(place / devcontainer.place(configuration), dockerfile) if dockerfile else ""
        target, rendered = place, render_configuration(decided, configuration, dockerfile=own)
    else:
        target, whole = place, kind is Kind.WITH_ARTIFACTS
        rendered = render(decided, self_contained=whole, with_context=whole)
    return RenderedFolder(loaded=loaded, plan=decided, rendered=rendered, target=target, kind=kind)


def _from(document: Path, dockerfile: Path) -> str:
    """The path of a user's Dockerfile as devcontainer.json names it. Raises RenderError for one that is not there."""
    if not dockerfile.is_file():
        argument = devcontainer.IMAGE_ARGUMENT
        raise RenderError(
            f"{dockerfile} does not exist",
            hint=f"make it, beginning with the two lines 'ARG {argument}' and 'FROM ${{{argument}}}'",
        )
    return Path(os.path.relpath(dockerfile.absolute(), document.parent)).as_posix()


def _for_others(decided: Plan, loaded: LoadedPreset, place: Path) -> Plan:
    """The plan with a preset's file named from `place`, where clients run their commands, and not by a path that only
    this machine has."""
    if decided.argument and not loaded.shipped and loaded.path.is_relative_to(place.resolve()):
        return dataclasses.replace(decided, argument=str(loaded.path.relative_to(place.resolve())))
    return decided
