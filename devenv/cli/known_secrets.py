"""This user's own secrets, which must not be in any file that leaves this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devenv.cli.app import App

if TYPE_CHECKING:
    from devenv.container.labels import Running
    from devenv.secrets.known import KnownValues


def known_secrets(app: App, running: Running | None = None) -> KnownValues:
    """Tokens and passwords of the settings and variables, and the environment's own token."""
    from devenv.doors.settings.credentials import Credential, credentials
    from devenv.secrets.known import KnownValues

    token = app.known_token(running) if running else None
    own = [Credential(origin="the environment's token", value=token)] if token else []
    return KnownValues.of([*credentials(app.settings, os.environ), *own])
