"""What a container is inside: its user, folders, roles, services and checks. Values alone: commands on a running
environment read these from its labels, and need neither preset nor lock."""

from __future__ import annotations

import dataclasses
from typing import Any

USER = "dev"
UID = 1000
GROUP = "devenv"
GID = 990
WORKSPACE = "/workspace"
VENV = "/opt/venv"
EDITOR_SETTINGS = {
    "python.defaultInterpreterPath": f"{VENV}/bin/python", "terminal.integrated.defaultProfile.linux": "bash",
}  # fmt: skip
"""What VS Code on a desktop is told about the environment."""
IDE_PORT = 8443
JUPYTER_PORT = 8888
ANY_STATUS = 0
"""As `health_status`: every answer below 500 will do."""
RESERVED = ("gateway", "ide", "jupyter")
"""Service names that devenv itself gives."""
WORKBENCH, SERVE, BOTH = "workbench", "serve", "both"
ROLES = (WORKBENCH, SERVE)
"""What a container is for: people's work with all tools, or the model's services alone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedService:
    """One supervised service, fully decided. Readiness is a GET of `health_path` with the header
    `Authorization: Bearer TOKEN`, which both the gateway and Jupyter accept."""

    name: str
    command: tuple[str, ...]
    port: int | None
    auth: str  # token | own | none
    listen: str | None  # `unix:/run/devenv/…` or `127.0.0.1:PORT`
    url: str  # path with `{token}` in it where the token goes
    health_path: str | None
    health_status: int
    env: tuple[tuple[str, str], ...]
    timeout_s: int
    role: str = WORKBENCH  # workbench | serve | both

    @property
    def knows_base(self) -> bool:
        """Whether the service itself answers under the path of a reverse proxy; others never see it."""
        return self.name == "jupyter"

    def document(self) -> dict[str, Any]:
        """The service as JSON. The usual role is left out, so that what has no other keeps its digest."""
        return {name: value for name, value in dataclasses.asdict(self).items() if (name, value) != ("role", WORKBENCH)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCheck:
    """One smoke check."""

    name: str
    run: tuple[str, ...]
    timeout_s: int
    expect: str = "result"  # result | plumbing: it proves only that everything runs, not the result
    role: str = BOTH  # workbench | serve | both

    def document(self) -> dict[str, Any]:
        """The check as JSON. Default values are left out, so that older containers keep their digest, and the role,
        which is the container's."""
        given = dataclasses.asdict(self).items()
        return {name: value for name, value in given if name != "role" and (name, value) != ("expect", "result")}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One of the commands after the first start."""

    name: str
    run: tuple[str, ...]
    timeout_s: int
    once: str = "environment"  # environment | container: the lifetime of the step
