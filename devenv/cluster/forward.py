"""The services of an environment on this machine's own 127.0.0.1: ports that stay its own, and a program that keeps
forwarding them after a lost connection."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Collection, Mapping
from typing import Any

from devenv.container.state import Environment
from devenv.doors import process, streams
from devenv.doors.kubectl import Kubectl
from devenv.doors.machine.ports import port_answers, port_is_free
from devenv.errors import NotReadyError

FILE = "forward.json"
ALIVE = "forward.alive.json"
_BEGIN_S = 20.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """What is forwarded: `ports` are container ports to ports here; `pods` selects the pods, of which one is taken."""

    context: str
    namespace: str
    pods: str
    ports: tuple[tuple[int, int], ...]

    def document(self) -> dict[str, Any]:
        """As it is kept."""
        return {**dataclasses.asdict(self), "ports": [list(one) for one in self.ports]}

    @classmethod
    def of(cls, value: Any) -> Forward | None:
        """What was kept; None for anything else."""
        try:
            ports = tuple((int(inside), int(outside)) for inside, outside in value["ports"])
            return cls(
                context=str(value["context"]), namespace=str(value["namespace"]), pods=str(value["pods"]), ports=ports
            )
        except (TypeError, KeyError, ValueError):
            return None


def begin(
    environment: Environment, kubectl: Kubectl, pods: str, ports: Mapping[int, int], *, asked: Collection[int] = ()
) -> None:
    """Keep forwarding these ports in the background, unless that is done already; `asked`: container ports that answer
    HTTP. Raises NotReadyError."""
    wanted = Forward(
        context=kubectl.context, namespace=kubectl.namespace, pods=pods, ports=tuple(sorted(ports.items()))
    )
    if Forward.of(environment.kept(FILE)) == wanted and is_alive(environment):
        return
    environment.keep(FILE, wanted.document())
    if not ports:
        return
    # -P: no module from the folder of this command, which may be a stranger's project.
    streams.background([sys.executable, "-P", "-m", "devenv.cluster.guard", str(environment.folder)])
    end = time.monotonic() + _BEGIN_S
    while any(not port_answers(outside) for inside, outside in ports.items() if inside in asked):
        kubectl.cancel.wait(0.05)
        if time.monotonic() > end:
            raise NotReadyError(
                "the services cannot be reached through the cluster's API server",
                detail=str((environment.kept(ALIVE) or {}).get("said") or "") or None,
                hint="try it by hand: kubectl port-forward; a proxy before the API server may refuse it",
            )


def end(environment: Environment) -> None:
    """Let the program end: it looks for the file."""
    (environment.folder / FILE).unlink(missing_ok=True)


def is_alive(environment: Environment) -> bool:
    """Whether a program forwards this environment's ports."""
    kept = environment.kept(ALIVE)
    return isinstance(kept, dict) and isinstance(kept.get("process"), str) and not process.is_gone(kept["process"])


def choose(environment: Environment, inside: tuple[int, ...]) -> dict[int, int]:
    """A port here for each container port: the same as before, else the same number where it is free. Raises
    NotReadyError."""
    kept, forwards = environment.ports(), is_alive(environment)
    chosen: dict[int, int] = {}
    for port in inside:
        usual = kept.get(port)
        if usual and (forwards or port_is_free(usual)):
            chosen[port] = usual
            continue
        free = (one for one in range(port, port + 200) if one not in {*chosen.values(), *kept.values()})
        found = next((one for one in free if port_is_free(one)), None)
        if found is None:
            raise NotReadyError(f"no port from {port} on is free on 127.0.0.1", hint="ss -ltn")
        chosen[port] = found
    if {**kept, **chosen} != kept:
        environment.keep_ports({**kept, **chosen})
    return chosen


def kept_json(environment: Environment) -> str:
    """The file as it is now, for the program to see a change."""
    return json.dumps(environment.kept(FILE), sort_keys=True)
