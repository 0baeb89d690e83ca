"""The services of an environment, decided: devenv's own, then the preset's, and their ports."""

from __future__ import annotations

from devenv.errors import PresetError
from devenv.plan.inside import ANY_STATUS, IDE_PORT, JUPYTER_PORT, RESERVED, PlannedService
from devenv.preset.model import Preset, Service


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
