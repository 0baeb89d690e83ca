"""What a container is for: people's work with all tools, or the model's services alone, in the same image."""

from __future__ import annotations

import dataclasses

from devenv.doors.docker.values import HealthCheck
from devenv.errors import UsageError
from devenv.plan.inside import BOTH, SERVE
from devenv.plan.plan import Plan

HEALTHY = "/usr/local/lib/devenv/healthy"
"""The program of the health check."""
DRAIN = "/usr/local/lib/devenv/drain"
"""Ends a gateway without losing a request; images with services of the model have it."""
FILL = "/usr/local/lib/devenv/fill"
"""Fills the volumes that a pod mounts over folders of the image."""
RESTART = "unless-stopped"
"""The restart policy of a container that serves: it comes back after a restart of the machine."""


def in_role(plan: Plan, role: str) -> Plan:
    """The plan of a container: the services of this role, their ports and its smoke checks. Raises UsageError when the
    preset marks no service as the model's."""
    services = tuple(service for service in plan.services if service.role in (role, BOTH))
    names = {service.name for service in services}
    every = {service.name for service in plan.services}
    if role == SERVE and not services:
        raise UsageError(
            f"the preset {plan.preset} marks no service as the model's; its services: "
            f"{', '.join(sorted(every)) or 'none'}",
            hint="add 'role: serve' to a service of the preset",
        )
    # A further port belongs to no service, so it is one of the workbench.
    others = {name for name, _ in plan.ports if name not in names and (role == SERVE or name in every)}
    return dataclasses.replace(
        plan, role=role, services=services,
        ports=tuple((name, port) for name, port in plan.ports if name not in others),
        other_ports=tuple(port for name, port in plan.ports if name in others),
        smoke=tuple(check for check in plan.smoke if check.role in (role, BOTH)),
    )  # fmt: skip


def serves(plan: Plan) -> bool:
    """Whether a container of the image can have the role `serve`."""
    return any(service.role in (SERVE, BOTH) for service in plan.services)


def health(plan: Plan) -> HealthCheck:
    """The engine's own check of a container that serves."""
    return HealthCheck(
        command=(HEALTHY,), interval_s=10, timeout_s=10, retries=3,
        start_s=max(service.timeout_s for service in plan.services),
    )  # fmt: skip
