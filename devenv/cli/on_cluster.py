"""Commands on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.cli.app import App
    from devenv.cli.elsewhere import Command
    from devenv.doors.settings.targets import KubernetesTarget


def hand(app: App, target: KubernetesTarget, command: Command) -> Any:  # noqa: ARG001
    """Do a command on a cluster; returns its result."""
    raise UsageError(f"devenv {command.name} does not work on a cluster yet", hint="devenv up --on here")
