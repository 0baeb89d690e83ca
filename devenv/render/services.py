"""The files of an image for the programs that the supervisor keeps running, in each role of a container."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Protocol

from devenv.plan.base_path import ENTRY_PORT
from devenv.plan.inside import SERVE, WORKBENCH
from devenv.plan.plan import Plan
from devenv.plan.role import in_role, serves


class Render(Protocol):
    """Renders a template."""

    def __call__(self, template: str, **values: object) -> bytes:
        """The template's bytes with these values."""


def supervised(plan: Plan, render: Render) -> Iterator[tuple[str, bytes]]:
    """Path in the build context and content of each file; programs begin with `#!`. Those of the role `serve` lie in a
    folder of their own, which images without a service of the model lack."""
    yield from _of_role(in_role(plan, WORKBENCH), "/etc/devenv", render)
    if serves(plan):
        yield from _of_role(in_role(plan, SERVE), "/etc/devenv/serve", render)


def _of_role(plan: Plan, folder: str, render: Render) -> Iterator[tuple[str, bytes]]:
    yield f"image{folder}/gated", "".join(f"{service.name}\n" for service in plan.gated).encode()
    yield f"image{folder}/health.json", _health(plan)
    commands = [(service.name, service.command, service.env) for service in plan.services]
    if plan.gated:
        gateway = ("/usr/sbin/nginx", "-e", "stderr", "-c", f"{folder}/gateway.conf", "-g", "daemon off;")
        commands.append(("gateway", gateway, ()))
        yield f"image{folder}/gateway.conf", render("service/gateway.conf.j2", plan=plan)
        yield f"image{folder}/entry.conf", render("service/entry.conf.j2", plan=plan, entry_port=ENTRY_PORT)
    for name, command, variables in commands:
        top = f"image{folder}/sv/{name}"
        yield f"{top}/run", render("service/run.j2", command=command, variables=variables)
        yield f"{top}/finish", render("service/finish.j2", name=name)
        yield f"{top}/log/run", render("service/log.j2", name=name)


def _health(plan: Plan) -> bytes:
    """What `healthy` checks: the services, and the requests that those with a port answer."""
    services = [
        {"name": service.name, "port": service.port, "path": service.health_path, "status": service.health_status,
         "token": service.auth != "none"}
        for service in plan.services
    ]  # fmt: skip
    return (json.dumps(services, indent=2) + "\n").encode()
