"""The services of an environment, decided: devenv's own, then the preset's, and their ports."""

from __future__ import annotations

import dataclasses
from typing import Any

from devenv.errors import PresetError
from devenv.preset.model import Preset, Service

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


def planned_services(preset: Preset) -> tuple[PlannedService, ...]:
    """The services that `code_server` and `jupyter` imply, then the preset's own by name."""
    if taken := sorted(set(preset.services) & set(RESERVED)):
        raise PresetError(
            f"services.{taken[0]}: devenv itself gives a service of this name",
            hint=f"choose a name that is not one of {', '.join(RESERVED)}",
        )
    services = [
        *([_ide(preset)] if preset.code_server else []),
        *([_jupyter()] if preset.jupyter else []),
        *(_own(name, service) for name, service in sorted(preset.services.items())),
    ]
    owners: dict[str, str] = {}
    for service in services:
        for place in (str(service.port or ""), service.listen or ""):
            key = place.removeprefix("127.0.0.1:")  # with port 8888 one place inside the container
            if key and key in owners:
                raise PresetError(
                    f"services.{service.name}: {owners[key]} has {place} already", hint="give each service its own"
                )
            owners[key] = service.name
    return tuple(services)


def _ide(preset: Preset) -> PlannedService:
    assert preset.code_server is not None
    return PlannedService(
        name="ide",
        command=(f"{_LIB}/ide",),
        port=IDE_PORT,
        auth="token",
        listen="unix:/run/devenv/ide.sock",
        url="/?token={token}",
        health_path="/?folder=/workspace",
        health_status=200,
        env=(),
        timeout_s=60,
    )


def _jupyter() -> PlannedService:
    return PlannedService(
        name="jupyter",
        command=(f"{_LIB}/jupyter",),
        port=JUPYTER_PORT,
        auth="token",
        listen="unix:/run/devenv/jupyter.sock",
        url="/lab?token={token}",
        health_path="/api/status",
        health_status=200,
        env=(),
        timeout_s=60,
    )


_LIB = "/usr/local/lib/devenv"


def _opening(service: Service) -> str:
    """The page to open: the gateway needs the token in it, even where the preset does not write it."""
    if service.port is None or service.auth != "token" or "{token}" in service.url:
        return service.url
    return f"{service.url}{'&' if '?' in service.url else '?'}token={{token}}"


def _own(name: str, service: Service) -> PlannedService:
    health = service.health
    return PlannedService(
        name=name,
        command=service.command,
        port=service.port,
        auth=service.auth,
        listen=service.listen,
        url=_opening(service),
        # A published service without `health` is ready at its first answer.
        health_path=health.path if health else ("/" if service.port else None),
        health_status=health.status if health else ANY_STATUS,
        env=tuple(sorted(service.env.items())),
        timeout_s=service.timeout_s,
        role=service.role,
    )


def published(preset: Preset, services: tuple[PlannedService, ...]) -> tuple[tuple[str, int], ...]:
    """Every published container port by name: services first, then the preset's further ones."""
    ports = {service.name: service.port for service in services if service.port}
    for name, port in sorted(preset.ports.items()):
        if name in ports or port in ports.values():
            raise PresetError(
                f"ports.{name}: a service already has this name or the port {port}",
                hint="remove it or choose another",
            )
        ports[name] = port
    return tuple(ports.items())
