"""The only Docker door: the docker SDK for containers, volumes and images."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from devenv.doors.docker import faults
from devenv.doors.docker.address import Endpoint
from devenv.doors.docker.client import connected
from devenv.doors.docker.held_stdin import Held
from devenv.doors.docker.output import Tell, both, frames, last, lines, overheard
from devenv.doors.docker.values import ContainerFacts, ContainerSpec, NetworkFacts, container_facts, host_options
from devenv.doors.untar import MOST_BYTES, unpack
from devenv.errors import EngineError, UsageError

MIN_ENGINE = (23, 0)
LABEL = "dev.devenv."
_READ_BYTES = 32 << 20
# os-release is usually a link to this one, and an archive of a link holds no content.
_BASE_FILES = ("/usr/lib/os-release", "/var/lib/dpkg/status")


_Call = TypeVar("_Call", bound=Callable[..., Any])


def _guarded(call: _Call) -> _Call:
    """Turn the SDK's failures into EngineError with a remedy."""

    @functools.wraps(call)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        import docker.errors
        import requests.exceptions
        import urllib3.exceptions

        known = (
            docker.errors.DockerException, requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError
        )  # fmt: skip
        try:
            return call(*args, **kwargs)
        except known as error:
            if faults.is_local(error):
                raise
            raise faults.failed(error) from None

    return cast("_Call", guarded)


class Engine:
    """A connection to one Docker Engine. Every method raises EngineError."""

    def __init__(self, client: Any, *, version: str, endpoint: Endpoint) -> None:
        self._client = client
        self._api = client.api
        self.version = version
        self.endpoint = endpoint

    @property
    def address(self) -> str:
        """Where it is, as a DOCKER_HOST value."""
        return self.endpoint.address

    @_guarded
    def about(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The engine's own description: (`info`, `version`)."""
        return self._api.info(), self._api.version()

    @_guarded
    def info(self) -> Mapping[str, Any]:
        """The `info` of `about` alone."""
        info: Mapping[str, Any] = self._api.info()
        return info

    # images

    @_guarded
    def image_id(self, reference: str) -> str | None:
        """The image's id (config digest), or None when it is not here."""
        import docker.errors

        try:
            return str(self._api.inspect_image(reference)["Id"])
        except docker.errors.ImageNotFound:
            return None

    @_guarded
    def image_facts(self, reference: str) -> Mapping[str, Any]:
        """The engine's description of an image (`docker image inspect`). Raises EngineError when it is not here."""
        facts: Mapping[str, Any] = self._api.inspect_image(reference)
        return facts

    @_guarded
    def pulled(self, reference: str) -> Mapping[str, Any]:
        """`image_facts`, pulled unless it is here."""
        import docker.errors

        with contextlib.suppress(docker.errors.ImageNotFound):
            return cast("Mapping[str, Any]", self._api.inspect_image(reference))
        try:
            self._client.images.pull(reference)
        except (AttributeError, TypeError) as error:
            raise faults.misconfigured(error) from None
        return cast("Mapping[str, Any]", self._api.inspect_image(reference))

    @_guarded
    def tag(self, reference: str, name: str) -> None:
        """Give an image (by tag or id) the further tag `name`."""
        self._api.tag(reference, *name.rsplit(":", 1))

    @_guarded
    def images(self, repository_prefix: str) -> tuple[tuple[str, str, int], ...]:
        """(tag, id, size in bytes) of every local tag that begins with `repository_prefix`."""
        rows = [
            (tag, image["Id"], int(image["Size"]))
            for image in self._api.images()
            for tag in image.get("RepoTags") or ()
            if tag.startswith(repository_prefix)
        ]
        return tuple(sorted(rows))

    @_guarded
    def remove_image(self, reference: str) -> None:
        """Remove a tag, and with its last tag the image."""
        self._api.remove_image(reference, noprune=False)

    @_guarded
    def base_facts(self, reference: str) -> tuple[str, tuple[str, ...], str, str]:
        """(id, NAME@DIGEST at every registry that has it, /etc/os-release, /var/lib/dpkg/status) of a base
        image, pulled unless it is here. Read from a container that is created, never started."""
        facts = self.pulled(reference)
        with self._laid_open(reference) as made:
            os_release, status = (self.read_file(made, path) for path in _BASE_FILES)
        return str(facts["Id"]), tuple(facts.get("RepoDigests") or ()), os_release, status

    def take_out(self, reference: str, paths: Mapping[str, Path], *, most_bytes: int = MOST_BYTES) -> None:
        """Copy files and folders (path in the image → path here, which must not exist) out of an image that is not
        trusted; missing paths are left out. Raises UsageError for links and devices, and above `most_bytes`."""
        with self._laid_open(reference) as made:
            for inside, target in paths.items():
                with tempfile.TemporaryFile() as spool:
                    if self._archive(made, inside, spool, most_bytes):
                        spool.seek(0)
                        unpack(spool, target, source=f"the image {reference}")

    @_guarded
    def _archive(self, container: str, path: str, spool: IO[bytes], most_bytes: int) -> bool:
        """Write the tar of a path to `spool`; False when it does not exist. Raises UsageError above `most_bytes`."""
        import docker.errors

        try:
            chunks, _ = self._api.get_archive(container, path)
        except docker.errors.NotFound:
            return False
        # Close it, because the engine keeps the container busy while it sends.
        with contextlib.closing(chunks):
            for chunk in chunks:
                spool.write(chunk)
                if spool.tell() > most_bytes:
                    raise UsageError(
                        f"{path} in that image is larger than {most_bytes >> 20} MiB",
                        hint="verify only images that devenv built",
                    )
        return True

    @contextlib.contextmanager
    def _laid_open(self, reference: str) -> Iterator[str]:
        """A container of the image that is never started, for reading its files."""
        made = self._create_idle(reference)
        try:
            yield made
        finally:
            self.remove(made)

    @_guarded
    def _create_idle(self, reference: str) -> str:
        # Without the proxies of docker's config.json, which would stay in the container's configuration.
        return str(self._api.create_container(image=reference, command=["true"], use_config_proxy=False)["Id"])

    # containers

    @_guarded
    def container(self, name: str) -> ContainerFacts | None:
        """The container `name`, or None."""
        import docker.errors

        try:
            return container_facts(self._api.inspect_container(name))
        except docker.errors.NotFound:
            return None

    @_guarded
    def containers(self, label: str) -> tuple[ContainerFacts, ...]:
        """Every container, running or not, that carries `label`."""
        import docker.errors

        found = []
        for row in self._api.containers(all=True, filters={"label": label}):
            try:
                found.append(container_facts(self._api.inspect_container(row["Id"])))
            except docker.errors.NotFound:
                continue  # removed meanwhile
        return tuple(sorted(found, key=lambda one: one.name))

    @_guarded
    def containers_with(self, volume: str) -> tuple[ContainerFacts, ...]:
        """Every container, running or not, that has this volume mounted."""
        rows = self._api.containers(all=True, filters={"volume": volume})
        found = [self.container(row["Id"]) for row in rows]
        return tuple(sorted((one for one in found if one), key=lambda one: one.name))

    @_guarded
    def create(self, spec: ContainerSpec) -> str:
        """Create (not start) a container; returns its id."""
        made = self._api.create_container(
            image=spec.image,
            name=spec.name,
            hostname=spec.hostname,
            environment=dict(spec.environment),
            labels=dict(spec.labels),
            ports=[(inside, "tcp") for inside, _ in spec.ports],
            host_config=self._api.create_host_config(**host_options(spec)),
            use_config_proxy=False,  # programs get them from a file, hidden from `docker inspect`
        )
        return str(made["Id"])

    @_guarded
    def start(self, name: str) -> None:
        """Start a created or stopped container."""
        self._api.start(name)

    @_guarded
    def stop(self, name: str, *, timeout_s: int = 10) -> None:
        """Stop a container: TERM, then KILL after `timeout_s`."""
        self._api.stop(name, timeout=timeout_s)

    @_guarded
    def unpause(self, name: str) -> None:
        """Resume the processes of a paused container."""
        self._api.unpause(name)

    @_guarded
    def remove(self, name: str) -> None:
        """Remove a container, running or not. Volumes stay."""
        import docker.errors

        try:
            self._api.remove_container(name, force=True)
        except docker.errors.NotFound:
            return

    @_guarded
    def container_log(self, name: str, *, tail: int = 50) -> str:
        """The last lines that the container's own process printed."""
        return str(self._api.logs(name, tail=tail).decode(errors="replace"))

    @_guarded
    def stats(self, name: str) -> Mapping[str, Any]:
        """One sample of the container's CPU and memory."""
        facts: Mapping[str, Any] = self._api.stats(name, stream=False, one_shot=True)
        return facts

    @_guarded
    def pids(self, name: str) -> frozenset[int]:
        """The numbers, on the engine's own machine, of the processes in a running container."""
        told = self._api.top(name)
        column = [str(one).upper() for one in told["Titles"]].index("PID")
        return frozenset(int(row[column]) for row in told["Processes"] or ())

    @_guarded
    def exec(self, name: str, command: Sequence[str], *, user: str = "", tell: Tell = None) -> tuple[int, str, str]:
        """Run a command in it to its end; (status, last 4 MiB of stdout, of stderr). `tell` gets new lines."""
        made = self._api.exec_create(name, list(command), user=user)["Id"]
        out, err = last(overheard(frames(self._api.exec_start(made, socket=True)), tell))
        code = self._api.exec_inspect(made)["ExitCode"]
        return int(code or 0), out, err

    @_guarded
    def attach(self, name: str) -> Iterator[str]:
        """Yield the lines that the container's own process prints from now on, until it ends."""
        return lines(both(frames(self._api.attach_socket(name, {"stdout": 1, "stderr": 1, "stream": 1, "logs": 0}))))

    @_guarded
    def follow(self, name: str, command: Sequence[str], *, user: str = "") -> Iterator[str]:
        """Run a command in the container and yield its stdout lines as they come, until it or the container ends."""
        made = self._api.exec_create(name, list(command), user=user, stderr=False)["Id"]
        return lines(both(frames(self._api.exec_start(made, socket=True))))

    @_guarded
    def hold(self, name: str, command: Sequence[str], *, user: str = "") -> Held:
        """Run a command in the container; this process holds its standard input open, and ends it by ending."""
        made = self._api.exec_create(name, list(command), user=user, stdin=True)["Id"]
        return Held(self._api.exec_start(made, socket=True))

    @_guarded
    def read_file(self, name: str, path: str) -> str:
        """A text file of a container, running or not; empty when it does not exist."""
        with tempfile.TemporaryFile() as spool:
            if not self._archive(name, path, spool, _READ_BYTES):
                return ""
            spool.seek(0)
            with tarfile.open(fileobj=spool, mode="r:") as archive:
                first = archive.next()
                member = archive.extractfile(first) if first and first.isreg() else None
                return member.read().decode(errors="replace") if member else ""

    # volumes

    @_guarded
    def ensure_volume(self, name: str, labels: Mapping[str, str], *, folder: str | None = None) -> None:
        """Create the volume unless it is there; `folder` of this host is then its content."""
        options = {"type": "none", "o": "bind", "device": folder} if folder else None
        self._api.create_volume(name, driver="local", driver_opts=options, labels=dict(labels))

    @_guarded
    def volume(self, name: str) -> tuple[str, Mapping[str, str]] | None:
        """(the host's folder that a volume holds, empty for one of the engine's own; its labels), or None."""
        import docker.errors

        try:
            facts = self._api.inspect_volume(name)
        except docker.errors.NotFound:
            return None
        return str((facts.get("Options") or {}).get("device", "")), facts.get("Labels") or {}

    @_guarded
    def volumes(self, label: str) -> tuple[tuple[str, Mapping[str, str]], ...]:
        """(name, labels) of every volume that carries `label`."""
        found = self._api.volumes(filters={"label": label})["Volumes"] or ()
        return tuple(sorted((one["Name"], one.get("Labels") or {}) for one in found))

    @_guarded
    def remove_volume(self, name: str) -> None:
        """Remove a volume and its data."""
        import docker.errors

        try:
            self._api.remove_volume(name, force=True)
        except docker.errors.NotFound:
            return

    # networks

    @_guarded
    def networks(self, **filters: str) -> tuple[NetworkFacts, ...]:
        """Every network that fits the engine's own filters: `driver`, `label`, `name` (a part of it)."""
        found = self._api.networks(filters=filters)
        facts = (NetworkFacts(id=one["Id"], name=one["Name"], labels=one.get("Labels") or {}) for one in found)
        return tuple(sorted(facts, key=lambda one: one.name))

    @_guarded
    def create_network(self, name: str, labels: Mapping[str, str]) -> str:
        """Make a network with an address range that the engine chooses; returns its id."""
        return str(self._api.create_network(name, driver="bridge", labels=dict(labels))["Id"])

    @_guarded
    def reconnect(self, container: str, network: str, *, is_cut_off: bool = False) -> None:
        """Connect a stopped container to the network that now has its former network's name."""
        if not is_cut_off:
            self._api.disconnect_container_from_network(container, network, force=True)
        self._api.connect_container_to_network(container, network)

    @_guarded
    def remove_network(self, id_: str) -> bool:
        """Remove a network; False when a running container is connected to it."""
        import docker.errors

        try:
            self._api.remove_network(id_)
        except docker.errors.APIError as error:
            if "active endpoints" not in str(error):
                raise
            return False
        return True


def connect(endpoint: Endpoint) -> Engine:
    """Connect to an engine.

    Raises EngineError when there is none, it is too old, or this user may not use it.
    """
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
