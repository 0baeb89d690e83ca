"""Editors on a desktop that work in a running environment: by its container, as dev container clients know it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from devenv.plan.inside import EDITOR_SETTINGS, USER, WORKSPACE

if TYPE_CHECKING:
    from devenv.container.labels import Running

_METADATA = "devcontainer.metadata"
"""The label in which the dev container specification has a container's own metadata."""
EDITORS = {"vscode": ("code", "VS Code"), "cursor": ("cursor", "Cursor")}
"""Editor → its command, and its name for people."""


HERE = "http://127.0.0.1:"
"""How the addresses of pages on this machine begin; a reverse proxy shows them at others."""


def labels() -> tuple[tuple[str, str], ...]:
    """What tells dev container clients the user of a container, and the editor's settings."""
    told = [{"remoteUser": USER, "customizations": {"vscode": {"settings": EDITOR_SETTINGS}}}]
    return ((_METADATA, json.dumps(told)),)


def address(running: Running, ssh_host: str | None = None) -> str:
    """The URI by which VS Code, and editors made of it, attach to the container. `ssh_host`: this machine's name for a
    desktop elsewhere."""
    return address_of(running.facts.name, ssh_host)


def address_of(container: str, ssh_host: str | None = None) -> str:
    """See `address`. The container's name stands in it as JSON in hexadecimal digits."""
    told = json.dumps({"containerName": f"/{container}"}, separators=(",", ":"))
    beside = f"@ssh-remote+{ssh_host}" if ssh_host else ""
    return f"vscode-remote://attached-container+{told.encode().hex()}{beside}{WORKSPACE}"


def command(editor: str, uri: str) -> tuple[str, ...]:
    """What opens a folder's URI in an editor."""
    return (EDITORS[editor][0], "--folder-uri", uri)


def tunnel(ports: Sequence[int], destination: str) -> str:
    """The ssh command that brings ports of this machine to the machine in front of the user."""
    return " ".join(("ssh -N", *(f"-L {port}:127.0.0.1:{port}" for port in ports), destination))
