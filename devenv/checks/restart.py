"""One service of a running environment restarted, and waited for."""

from __future__ import annotations

import dataclasses

from devenv.checks import readiness
from devenv.container import condition
from devenv.container.labels import Running
from devenv.doors.docker.engine import Engine
from devenv.doors.terminal.stages import Stages
from devenv.errors import NotReadyError

_SERVICES = "/run/devenv/sv"
_ENDS = "/run/devenv/exit"
_GRACE_S = 10
"""A service that does not end within this time is killed."""


def restart(running: Running, service: str, engine: Engine, *, token: str | None, stages: Stages) -> None:
    """Restart a service and wait until it answers; after the gateway, until all behind it do. Without the `token`, the
    services are another user's and cannot be waited for. Raises UsageError, NotReadyError, EngineError."""
    condition.require_running(running)
    if running.facts.is_cut_off:
        raise NotReadyError(f"{running.name} cannot be reached", hint=condition.remedy(running))
    condition.require_service(running, service)
    code, out, err = engine.exec(
        running.facts.name, ["sv", "-w", str(_GRACE_S), "force-restart", f"{_SERVICES}/{service}"], user="dev"
    )
    if code != 0:
        raise NotReadyError(
            f"cannot restart service {service!r}", detail=(out + err).strip() or None,
            hint=f"devenv logs {running.name} {service}",
        )  # fmt: skip
    asked = tuple(each for each in running.services if each.port and service in (each.name, "gateway"))
    if not asked or token is None:
        return
    with stages.stage("ready") as stage:
        watch = readiness.Watch(running.facts.name, engine, up=True, known={service: _ends(running, service, engine)})
        readiness.wait_ready(dataclasses.replace(running, services=asked), token, watch, progress=stage, engine=engine)


def _ends(running: Running, service: str, engine: Engine) -> int:
    """How often the service has ended in this boot, the end that the restart made included."""
    code, out, _ = engine.exec(running.facts.name, ["cat", f"{_ENDS}/{service}"], user="dev")
    count = out.split()[-1:] if code == 0 else []
    return int(count[0]) if count and count[0].isdecimal() else 0
