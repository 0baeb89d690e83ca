"""The same image's services started by hand: one `docker run` each, all at once, polled until they answer or end."""

from __future__ import annotations

import dataclasses
import http.client
import json
import shlex
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from benchmarks.command import PREFIX, FailedError, call, docker, remove_containers

_EVERY_S = 0.02
_TIMEOUT_S = 120
_TOKEN = "by-hand"
_VOLUME = f"{PREFIX}hand"
_JUPYTER = "/usr/local/lib/devenv/jupyter_server_config.py"
_READY = f"mkdir /run/devenv/jupyter; echo {_TOKEN} > /run/devenv/token"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of devenv's as its own record describes it, and the checks that its preset wants."""

    reference: str
    services: tuple[Mapping[str, Any], ...]
    checks: Mapping[str, tuple[str, ...]]
    shm_size: str


def inspect(reference: str, preset: Mapping[str, Any]) -> Image:
    """Read the service definitions out of the image; `preset` is `show --json`'s."""
    record = json.loads(docker("run", "--rm", "--entrypoint", "cat", reference, "/etc/devenv/environment.json"))
    return Image(
        reference=reference,
        services=tuple(one for one in record["services"] if one["port"] and one["health_path"] and _works(one)),
        checks={name: tuple(check["run"]) for name, check in preset["smoke"].items() if _works(check)},
        shm_size=preset["shm_size"],
    )


def _works(part: Mapping[str, Any]) -> bool:
    """Whether a service or check belongs to the workbench, which `devenv up` starts."""
    return part.get("role") != "serve"


def prepare(image: Image) -> None:
    """A volume that keeps the editor's data between runs, as an environment's own does; it belongs to the user."""
    docker("volume", "create", _VOLUME)
    place = f"/mnt/{_VOLUME}"
    docker("run", "--rm", "-v", f"{_VOLUME}:{place}", "--entrypoint", "chown", image.reference, "dev:", place)


def clear() -> None:
    """Remove what `run` started."""
    remove_containers(f"^{PREFIX}hand-")


def run(image: Image) -> dict[str, float]:
    """Start everything at once; seconds from the beginning until each answered (services) or ended (checks)."""
    began = time.perf_counter()
    work = {one["name"]: partial(_service, image, one) for one in image.services}
    work |= {name: partial(_check, image, name, command) for name, command in image.checks.items()}

    def measure(action: Callable[[], None]) -> float:
        action()
        return time.perf_counter() - began

    with ThreadPoolExecutor(max_workers=len(work)) as pool:
        futures = {name: pool.submit(measure, action) for name, action in work.items()}
    return {name: future.result() for name, future in futures.items()}


def _options(image: Image, name: str) -> list[str]:
    return [
        "--name", f"{PREFIX}hand-{name}", "--init", f"--shm-size={image.shm_size}", "--user", "dev",
        "--tmpfs", "/run/devenv:mode=1777", "-v", f"{_VOLUME}:/mnt/{_VOLUME}",
        "-e", "HOME=/home/dev", "-e", f"DEVENV_NAME={_VOLUME}", "--entrypoint", "sh",
    ]  # fmt: skip


def _service(image: Image, service: Mapping[str, Any]) -> None:
    name, port = service["name"], service["port"]
    options = [*_options(image, name), "-p", f"127.0.0.1::{port}"]
    call("docker", "run", "-d", *options, image.reference, "-c", script(service))
    outside = int(docker("port", f"{PREFIX}hand-{name}", str(port)).split(":")[-1])
    deadline = time.monotonic() + _TIMEOUT_S
    while not _answers(outside, service["health_path"], service["health_status"]):
        if time.monotonic() > deadline:
            raise FailedError(
                f"{name} by hand did not answer:\n{docker('logs', '--tail', '20', f'{PREFIX}hand-{name}')}"
            )
        time.sleep(_EVERY_S)


def script(service: Mapping[str, Any]) -> str:
    """The service's own command as a shell script. What listens on a socket behind the gateway gets a port instead."""
    command = shlex.join(service["command"])
    if service["listen"] and service["listen"].startswith("unix:"):
        socket = service["listen"].removeprefix("unix:")
        if service["name"] == "jupyter":
            swap = f"s#^c.ServerApp.sock = .*#c.ServerApp.ip, c.ServerApp.port = '0.0.0.0', {service['port']}#"
            return (
                f"{_READY}; sed \"{swap}\" {_JUPYTER} > /tmp/config.py; sed 's#{_JUPYTER}#/tmp/config.py#' {command} "
                "> /tmp/run; exec python /tmp/run"
            )
        swap = f"s#--socket {socket} --socket-mode [0-9]*#--bind-addr 0.0.0.0:{service['port']}#"
        return f'sed "{swap}" {command} > /tmp/run && exec sh /tmp/run'
    exports = "".join(f"export {name}={shlex.quote(value)}; " for name, value in service["env"])
    return f"{_READY}; {exports}exec {command}"


def _check(image: Image, name: str, command: tuple[str, ...]) -> None:
    call("docker", "run", *_options(image, name), image.reference, "-c", f"exec {shlex.join(command)}")


def _answers(port: int, path: str, status: int) -> bool:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        link.request("GET", path, headers={"Authorization": f"Bearer {_TOKEN}"})
        return link.getresponse().status == status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()
