"""The only Docker door: the docker SDK for containers, volumes and images."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from devenv.doors.docker.address import Endpoint, ask
from devenv.doors.docker.client import connected
from devenv.doors.docker.held_stdin import Held
from devenv.doors.docker.images import Images
from devenv.doors.docker.output import Tell, both, frames, last, lines, overheard
from devenv.doors.docker.sdk import filtered, guarded
from devenv.doors.docker.values import ContainerFacts, ContainerSpec, container_facts, health_options, host_options
from devenv.doors.docker.volumes import Networks, Volumes
from devenv.errors import EngineError

MIN_ENGINE = (23, 0)
LABEL = "dev.devenv."


class Engine(Images, Volumes, Networks):
    """A connection to one Docker Engine. Every method raises EngineError."""

    def __init__(self, client: Any | None, *, version: str, endpoint: Endpoint) -> None:
        self._connected = client
        self.version = version
        self.endpoint = endpoint

    @property
    def address(self) -> str:
        """Where it is, as a DOCKER_HOST value."""
        return self.endpoint.address

    @guarded
    def info(self) -> Mapping[str, Any]:
        """The engine's own description (`GET /info`)."""
        info: Mapping[str, Any] = self._read("/info", lambda: self._api.info())  # noqa: PLW0108 - `_api` connects
        return info

    @guarded
    def release(self) -> Mapping[str, Any]:
        """Its version and those of its parts (`GET /version`)."""
        release: Mapping[str, Any] = self._read("/version", lambda: self._api.version())  # noqa: PLW0108
        return release

    # containers

    @guarded
    def container(self, name: str) -> ContainerFacts | None:
        """The container `name`, or None."""
        facts = self._read(f"/containers/{name}/json", lambda: self._api.inspect_container(name))
        return container_facts(facts) if facts else None

    @guarded
    def inspection(self, name: str) -> Mapping[str, Any]:
        """The engine's own description of a container (`docker inspect`)."""
        facts: Mapping[str, Any] = self._api.inspect_container(name)
        return facts

    @guarded
    def containers(self, label: str) -> tuple[ContainerFacts, ...]:
        """Every container, running or not, that carries `label`."""
        return self._containers(label=label)

    @guarded
    def containers_with(self, volume: str) -> tuple[ContainerFacts, ...]:
        """Every container, running or not, that has this volume mounted."""
        return self._containers(volume=volume)

    def _containers(self, **filters: str) -> tuple[ContainerFacts, ...]:
        rows = self._read(
            "/containers/json", lambda: self._api.containers(all=True, filters=filters), filtered(filters)
        )
        found = [self.container(row["Id"]) for row in rows]  # None: removed meanwhile
        return tuple(sorted((one for one in found if one), key=lambda one: one.name))

    @guarded
    def create(self, spec: ContainerSpec) -> str:
        """Create (not start) a container; returns its id."""
        made = self._api.create_container(
            image=spec.image,
            command=list(spec.once) or None,
            stdin_open=bool(spec.once),
            name=spec.name,
            hostname=spec.hostname,
            environment=dict(spec.environment),
            labels=dict(spec.labels),
            ports=[(inside, "tcp") for inside, _ in spec.ports],
            host_config=self._api.create_host_config(**host_options(spec)),
            healthcheck=health_options(spec.health),
            use_config_proxy=False,  # programs get them from a file, hidden from `docker inspect`
        )
        return str(made["Id"])

    @guarded
    def start(self, name: str) -> None:
        """Start a created or stopped container."""
        self._api.start(name)

    @guarded
    def stop(self, name: str, *, timeout_s: int = 10) -> None:
        """Stop a container: TERM, then KILL after `timeout_s`."""
        self._api.stop(name, timeout=timeout_s)

    @guarded
    def pause(self, name: str) -> None:
        """Let the processes of a running container stand still."""
        self._api.pause(name)

    @guarded
    def unpause(self, name: str) -> None:
        """Resume the processes of a paused container."""
        self._api.unpause(name)

    @guarded
    def container_log(self, name: str, *, tail: int = 50) -> str:
        """The last lines that the container's own process printed."""
        return str(self._api.logs(name, tail=tail).decode(errors="replace"))

    @guarded
    def stats(self, name: str) -> Mapping[str, Any]:
        """One sample of the container's CPU and memory."""

        def again() -> Any:
            return self._api.stats(name, stream=False, one_shot=True)

        facts: Mapping[str, Any] | None = self._read(f"/containers/{name}/stats", again, {"stream": 0, "one-shot": 1})
        return facts or again()

    @guarded
    def pids(self, name: str) -> frozenset[int]:
        """The numbers, on the engine's own machine, of the processes in a running container."""
        listing = self._api.top(name)
        column = [str(one).upper() for one in listing["Titles"]].index("PID")
        return frozenset(int(row[column]) for row in listing["Processes"] or ())

    @guarded
    def exec(self, name: str, command: Sequence[str], *, user: str = "", tell: Tell = None) -> tuple[int, str, str]:
        """Run a command in it to its end; (status, last 4 MiB of stdout, of stderr). `tell` gets new lines."""
        made = self._api.exec_create(name, list(command), user=user)["Id"]
        out, err = last(overheard(frames(self._api.exec_start(made, socket=True)), tell))
        code = self._api.exec_inspect(made)["ExitCode"]
        return int(code or 0), out, err

    @guarded
    def attach(self, name: str) -> Iterator[str]:
        """Yield the lines that the container's own process prints from now on, until it ends."""
        return lines(both(frames(self._api.attach_socket(name, {"stdout": 1, "stderr": 1, "stream": 1, "logs": 0}))))

    @guarded
    def follow(self, name: str, command: Sequence[str], *, user: str = "") -> Iterator[str]:
        """Run a command in the container and yield its stdout lines as they come, until it or the container ends."""
        made = self._api.exec_create(name, list(command), user=user, stderr=False)["Id"]
        return lines(both(frames(self._api.exec_start(made, socket=True))))

    @guarded
    def hold(self, name: str, command: Sequence[str], *, user: str = "") -> Held:
        """Run a command in the container; this process holds its standard input open, and ends it by ending."""
        made = self._api.exec_create(name, list(command), user=user, stdin=True)["Id"]
        return Held(self._api.exec_start(made, socket=True))

    @guarded
    def hold_main(self, name: str) -> Held:
        """Hold open the standard input of the container's own process, from before its start; end it by ending."""
        return Held(self._api.attach_socket(name, {"stdin": 1, "stdout": 1, "stream": 1}))

    @guarded
    def wait_removed(self, name: str, *, timeout_s: float) -> None:
        """Wait until the engine has removed a container that is about to end, or the time is over."""
        import docker.errors
        import requests.exceptions

        with contextlib.suppress(
            docker.errors.NotFound, requests.exceptions.Timeout, requests.exceptions.ConnectionError
        ):
            self._api.wait(name, timeout=timeout_s, condition="removed")


def connect(endpoint: Endpoint) -> Engine:
    """Connect to an engine.

    Raises EngineError when there is none, it is too old, or this user may not use it.
    """
    client, version = None, ""
    if endpoint.is_socket:
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, EngineError):
            version = str(ask(endpoint, "/version")["Version"])
    if not version:
        client, version = connected(endpoint)
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers and numbers < MIN_ENGINE:
        raise EngineError(
            f"the Docker Engine is {version}; devenv needs {MIN_ENGINE[0]}.{MIN_ENGINE[1]} or newer",
            hint="'make engine' in a checkout, or your distribution's newer docker.io package",
        )
    return Engine(client, version=version, endpoint=endpoint)


def labels_json(value: Any) -> str:
    """A label's value: compact, sorted JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
