"""The labels of a container: all that a later command needs to know of an environment, written and read here alone.

Anyone who may use the engine can set labels, and another version of devenv may have written them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from devenv.container.gpu import Access, to_json
from devenv.container.gpu import from_json as gpu_from_json
from devenv.container.names import is_name
from devenv.container.state import Environment
from devenv.doors.docker.engine import LABEL, labels_json
from devenv.doors.docker.values import ContainerFacts
from devenv.doors.untrusted import from_json, value_of
from devenv.plan import base_path, told
from devenv.plan.base_path import BasePath
from devenv.plan.inside import SERVE, WORKBENCH, WORKSPACE, PlannedCheck, PlannedService

if TYPE_CHECKING:
    from devenv.plan.plan import Plan

FORMAT = 1
"""To be raised when an older devenv would misread what is written; containers without the label have this one."""
HOST_MOUNT = "/run/devenv-host"
_BASE_PATH = f"{LABEL}base-path"
RUN = f"{LABEL}run"
"""On a container for one command: the environment that it is like. It has no `name`, so it is no environment."""


_ENTRY = PlannedService(
    name=base_path.ENTRY, command=(), port=base_path.ENTRY_PORT, auth="none", listen=None, url="/", health_path="/",
    health_status=302, env=(), timeout_s=30,
)  # fmt: skip
"""How the gateway answers behind a reverse proxy: it redirects to the first service."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A container of ours, as its labels describe it: enough for every command without the preset. `unreadable` is
    the reason why devenv did not make it; empty when it did. `is_devcontainer`: a dev container client made it, from a
    devcontainer.json of devenv's."""

    name: str
    facts: ContainerFacts
    preset: str
    lock_digest: str
    spec_digest: str
    project: str
    services: tuple[PlannedService, ...]
    checks: tuple[PlannedCheck, ...]
    named_ports: tuple[tuple[str, int], ...]
    gpu: Access | None = None
    role: str = WORKBENCH
    unreadable: str = ""
    is_devcontainer: bool = False
    base_path: BasePath | None = None

    def port(self, inside: int) -> int | None:
        """The host port of a container port."""
        return dict(self.facts.ports).get(inside)

    @property
    def host_folder(self) -> str:
        """Its owner's folder that it reads."""
        return next((mount.source for mount in self.facts.mounts if mount.target == HOST_MOUNT), "")

    @property
    def entry(self) -> str:
        """The address that a reverse proxy forwards to; empty without a base path."""
        outside = self.port(base_path.ENTRY_PORT) if self.base_path else None
        return f"http://127.0.0.1:{outside}" if outside else ""

    @property
    def probed(self) -> tuple[PlannedService, ...]:
        """The services, and the gateway itself where a reverse proxy forwards to it."""
        return (*self.services, *((_ENTRY,) if self.base_path else ()))

    def proxy_json(self) -> dict[str, str | None]:
        """`base_path` and `forward_to` of every document about an environment; null without a reverse proxy."""
        return {"base_path": self.base_path.text if self.base_path else None, "forward_to": self.entry or None}

    def urls(self, token: str | None) -> dict[str, str]:
        """The page of every published service, with the token, and of every further port. Another user's `token` is
        None."""
        urls, entry = {}, self.entry
        for service in self.services:
            if service.port is not None and (outside := self.port(service.port)):
                opening = service.url.replace("{token}", token or "TOKEN")
                under = self.base_path if entry and service.auth == "token" else None
                urls[service.name] = (
                    under.page(service.name, opening, entry) if under else f"http://127.0.0.1:{outside}{opening}"
                )
        for name, inside in self.named_ports:
            if name not in (*urls, base_path.ENTRY) and (outside := self.port(inside)):
                urls[name] = f"http://127.0.0.1:{outside}/"
        return urls


def written(plan: Plan, project: str, name: str, gpu: Access | None) -> tuple[tuple[str, str], ...]:
    """The labels of a container, without those of `sealed`."""
    return (
        (f"{LABEL}name", name),
        *told.of_image(plan),
        (f"{LABEL}project", project),
        *told.of_services(plan),
        *(((f"{LABEL}role", SERVE),) if plan.role == SERVE else ()),
        *(((_BASE_PATH, plan.base_path.text),) if plan.base_path else ()),
        *(((f"{LABEL}gpu", labels_json(to_json(gpu))),) if gpu else ()),
        *(((f"{LABEL}model", plan.model.locked.key),) if plan.model else ()),
    )


def sealed(spec_digest: str) -> tuple[tuple[str, str], ...]:
    """The labels that are no part of the container's own digest."""
    return ((f"{LABEL}spec", spec_digest), (f"{LABEL}format", str(FORMAT)))


def once(like: Iterable[tuple[str, str]], environment: Environment) -> tuple[tuple[str, str], ...]:
    """The labels of a container for one command, from those of the environment's own."""
    kept = {f"{LABEL}{one}" for one in ("preset", "lock", "image", "editor", "project", "gpu", "model", "format")}
    own = {RUN: environment.name, f"{LABEL}owner": str(environment.folder)}
    return (*own.items(), *((name, value) for name, value in like if name in kept))


def describe(facts: ContainerFacts) -> Running:
    """Read a container's labels. Without a name label, the environment has the container's name."""
    labels = facts.labels
    name = labels.get(f"{LABEL}name", "")
    running = Running(
        name=name if facts.name == f"devenv-{name}" and is_name(name) else facts.name,
        facts=facts,
        preset=labels.get(f"{LABEL}preset", ""),
        lock_digest=labels.get(f"{LABEL}lock", ""),
        spec_digest=labels.get(f"{LABEL}spec", ""),
        project=labels.get(f"{LABEL}project", ""),
        services=_values(PlannedService, labels.get(f"{LABEL}services")),
        checks=_values(PlannedCheck, labels.get(f"{LABEL}smoke")),
        named_ports=_named_ports(labels.get(f"{LABEL}ports")),
        gpu=_gpu(labels.get(f"{LABEL}gpu")),
        role=SERVE if labels.get(f"{LABEL}role") == SERVE else WORKBENCH,
        base_path=base_path.known(labels.get(_BASE_PATH, "")),
    )
    return dataclasses.replace(running, unreadable=_unreadable(running))


def of_devcontainer(facts: ContainerFacts) -> Running:
    """Read the labels of a container that a dev container client made. The environment has the container's name, and
    its project is the folder that is mounted at /workspace, whatever a label says."""
    folder = next((one.source for one in facts.mounts if one.kind == "bind" and one.target == WORKSPACE), "")
    running = dataclasses.replace(
        describe(facts), name=facts.name, project=folder, spec_digest="", gpu=None, role=WORKBENCH,
        is_devcontainer=True, base_path=None,
    )  # fmt: skip
    return dataclasses.replace(running, unreadable=_unreadable_devcontainer(running))


_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PATH = re.compile(r"/[!-~]{0,500}")


def _unreadable_devcontainer(running: Running) -> str:
    """Why this container is not one of a devcontainer.json of devenv's; empty when it is. The file may be of a
    stranger's repository, so that what it names is checked as a preset is."""
    labels = running.facts.labels
    version = labels.get(told.DEVCONTAINER, "")
    if not _is_known(version, told.DEVCONTAINER_FORMAT):
        return "a newer devenv wrote its devcontainer.json"
    if not running.project:
        return f"no folder is mounted at {WORKSPACE}"
    if label := _damaged(running):
        return f"its label {label} cannot be read"
    for service in running.services:
        paths = (service.url, service.health_path or "/")
        if not _WORD.fullmatch(service.name) or not all(_PATH.fullmatch(path) for path in paths):
            return f"its label {LABEL}services names what no preset can name"
    if not all(_WORD.fullmatch(name) for name, _ in running.named_ports):
        return f"its label {LABEL}ports names what no preset can name"
    return ""


def _unreadable(running: Running) -> str:
    """Why devenv did not make this container; empty when it did. Anyone who may use the engine can set labels."""
    facts = running.facts
    name = facts.labels.get(f"{LABEL}name", "")
    if not is_name(name):
        return f"its label {LABEL}name names no environment"
    if facts.name != f"devenv-{name}":
        return f"the container of {name} is called devenv-{name}"
    if not any(mount.kind == "bind" and mount.target == HOST_MOUNT for mount in facts.mounts):
        return f"no folder of its owner is mounted at {HOST_MOUNT}"
    if not _is_known(facts.labels.get(f"{LABEL}format", str(FORMAT)), FORMAT):
        return "a newer devenv made it"
    if label := _damaged(running):
        return f"its label {label} cannot be read"
    return ""


def _is_known(format_: str, newest: int) -> bool:
    return format_.isascii() and format_.isdigit() and 0 < int(format_[:9]) <= newest


def _damaged(running: Running) -> str:
    """The first label whose list, or an entry of it, cannot be read; a test without a check that it has would pass."""
    for label, values in (("services", running.services), ("smoke", running.checks), ("ports", running.named_ports)):
        text = running.facts.labels.get(f"{LABEL}{label}", "")
        with contextlib.suppress(ValueError):
            value = from_json(text)
            if isinstance(value, list) and len(value) == len(values):
                continue
        return f"{LABEL}{label}"
    return ""


def _gpu(label: str | None) -> Access | None:
    try:
        return gpu_from_json(from_json(label)) if label else None
    except ValueError:
        return None  # another version of devenv wrote it


def _named_ports(label: str | None) -> tuple[tuple[str, int], ...]:
    pairs = [one for one in _list(label) if isinstance(one, list) and len(one) == 2]
    return tuple((name, port) for name, port in pairs if isinstance(name, str) and isinstance(port, int))


def _list(label: str | None) -> list[Any]:
    """The list in a label; empty for any other value."""
    try:
        value = from_json(label or "[]")
    except ValueError:
        return []
    return value if isinstance(value, list) else []


_Value = TypeVar("_Value", PlannedService, PlannedCheck)


def _values(kind: type[_Value], label: str | None) -> tuple[_Value, ...]:
    """Values from a label that another version of devenv, or someone else, may have written: what is unknown is left
    out, and so is a value that lacks what every version knew, or has it of another type."""
    values = []
    for one in _list(label):
        with contextlib.suppress(ValueError):
            values.append(value_of(kind, one))
    return tuple(values)
