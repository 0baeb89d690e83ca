"""The logs of an environment's services, read in its container, or from it when it does not run."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from devenv.container.exec import Lifeline
from devenv.container.labels import Running
from devenv.doors.docker.engine import Engine

OTHERS = ("gateway", "setup")
"""The logs that belong to no service of the preset."""
_FOLDER = "/var/log/devenv"
_EXISTING = 'for f; do [ -e "$f" ] && echo "$f"; done; true'


def stopped(running: Running, service: str | None, engine: Engine, *, lines: int) -> Iterator[str]:
    """Yield the last `lines` of each log of a container that does not run, as one text each."""
    for path in _paths(running, service):
        yield "\n".join(engine.read_file(running.facts.name, path).splitlines()[-lines:])


def existing(running: Running, service: str | None, engine: Engine) -> tuple[str, ...]:
    """The paths of the logs, of `service` or of all, in a running container."""
    command = ["sh", "-c", _EXISTING, "sh", *_paths(running, service)]
    return tuple(engine.exec(running.facts.name, command)[1].split())


def read(running: Running, paths: tuple[str, ...], engine: Engine, *, lines: int, follow: bool) -> Generator[str]:
    """Yield the last lines of these logs and, with `follow`, new ones until the container ends."""
    name = running.facts.name
    if not follow:
        yield from engine.follow(name, ["tail", "-n", str(lines), *paths], user="root")
        return
    with Lifeline(engine, name) as line:
        yield from engine.follow(name, line.command(["tail", "-n", str(lines), "-F", *paths]), user="root")


def _paths(running: Running, service: str | None) -> list[str]:
    names = [service] if service else [*(one.name for one in running.services), *OTHERS]
    return [f"{_FOLDER}/{one}/current" for one in names]
