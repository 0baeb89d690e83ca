"""One command in one namespace of a cluster, for the modules that do it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.cli.app import App
from devenv.container.state import Environment, environment
from devenv.doors.kubectl import Kubectl
from devenv.errors import PresetError, UsageError

if TYPE_CHECKING:
    from devenv.cli.elsewhere import Command
    from devenv.cluster.life import Here


class At:
    """One command in one namespace."""

    def __init__(self, app: App, kubectl: Kubectl, command: Command | None) -> None:
        self.app = app
        self.kubectl = kubectl
        self.values: Mapping[str, Any] = command.values if command else {}
        self.given: frozenset[str] = command.given if command else frozenset()

    def refuse_others(self, known: frozenset[str]) -> None:
        """Raise UsageError for options that mean nothing here."""
        if others := sorted(self.given - known):
            raise UsageError(
                f"--{others[0].replace('_', '-')} means nothing in a cluster", hint="leave it out, or use: --on here"
            )

    def environment(self, name: str) -> Environment:
        """What this machine keeps for an environment of the namespace: ports and the token."""
        place = hashlib.sha256(f"{self.kubectl.context}\n{self.kubectl.namespace}".encode()).hexdigest()[:16]
        return environment(name, self.app.dirs.state / "clusters" / place)

    def select(self, name: str | None) -> Here:
        """The environment that is meant."""
        from devenv.cluster.life import select

        return select(self.kubectl, name, _preset_here())


def _preset_here() -> str | None:
    from devenv.preset.load import find, load

    try:
        return load(find(None, Path.cwd())).preset.name
    except PresetError:
        return None
