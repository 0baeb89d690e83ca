"""This user's own secrets, which must not be in any file that leaves this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devenv.cli.app import App

if TYPE_CHECKING:
    from devenv.secrets.known import KnownValues


def known_secrets(app: App) -> KnownValues:
    """Tokens and passwords of the settings and variables, and the tokens of this user's environments."""
    from devenv.container.names import is_name
    from devenv.doors.settings.credentials import Credential, credentials
    from devenv.secrets.known import KnownValues

    folder = app.dirs.environments
    names = sorted(path.name for path in folder.iterdir() if is_name(path.name)) if folder.is_dir() else []
    tokens = [(name, app.environment(name).known_token()) for name in names]
    own = [Credential(origin=f"the token of the environment {name}", value=token) for name, token in tokens if token]
    return KnownValues.of([*credentials(app.settings, os.environ), *own])
