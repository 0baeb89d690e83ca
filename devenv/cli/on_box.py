"""Commands on a machine that SSH reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.cli.app import App
    from devenv.cli.elsewhere import Command
    from devenv.doors.settings.targets import SshTarget


def hand(app: App, target: SshTarget, command: Command) -> Any:  # noqa: ARG001
    """Do a command there; returns its result. Raises TargetError."""
    raise UsageError(
        f"devenv {command.name} does not work over SSH yet", hint=f"run it there: ssh {target.destination}"
    )
