"""A container for one command (`devenv run`): made like an environment's, without its services, gone with its client.

Its first program (`once_guard.py`) reads from a connection that this process holds from before the start. The kernel
closes the connection when this process ends in any way; then the command ends, and the engine removes the container.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from devenv.container import labels, once_guard
from devenv.container.state import Environment
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.docker.values import ContainerFacts, ContainerSpec, Mount
from devenv.errors import EngineError, NotReadyError

_PYTHON = "/opt/venv/bin/python"  # in every image
_NOTE, _VARIABLES = "/run/devenv/once", "/run/devenv/once.env"  # in memory, and the user's own
_BEGIN = f'{{ echo $$ > {_NOTE}; }} 2> /dev/null; exec devenv-exec sh -c \'. {_VARIABLES}; exec "$@"\' sh "$@"'
_PUT = f'umask 077; head -c "$0" > {_VARIABLES}'
_WAIT_S = once_guard.GRACE_S + 20
PASSED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""The signals that the command gets from this process."""


def spec(like: ContainerSpec, environment: Environment, mounts: Sequence[Mount] = ()) -> ContainerSpec:
    """The container for one command beside, or instead of, an environment's container `like`."""
    script = Path(once_guard.__file__).read_text(encoding="utf-8")
    return dataclasses.replace(
        like, name=f"{environment.container}-run-{secrets.token_hex(4)}", labels=labels.once(like.labels, environment),
        mounts=(*like.mounts, *mounts), once=(_PYTHON, "-I", "-S", "-c", script, _NOTE),
    )  # fmt: skip


def every(engine: Engine) -> tuple[ContainerFacts, ...]:
    """The containers of one-off commands on this engine."""
    return engine.containers(labels.RUN)


def check_unused(environment: Environment, engine: Engine) -> None:
    """Raise NotReadyError while a one-off command has the environment's volumes."""
    busy = [one.name for one in every(engine) if one.labels.get(labels.RUN) == environment.name]
    if busy:
        raise NotReadyError(
            f"{', '.join(busy)} of 'devenv run' has the volumes of {environment.name}",
            hint=f"wait for its end, or end it: docker stop {busy[0]}; then run the command again",
        )


def remove_left(environment: Environment, engine: Engine, *, dry_run: bool = False) -> tuple[str, ...]:
    """Remove the containers that a killed run made and never started; their names. The caller holds the environment,
    so that no other run is about to start one."""
    left = tuple(
        one.name
        for one in every(engine)
        if one.state == "created" and one.labels.get(labels.RUN) == environment.name
        and one.labels.get(f"{LABEL}owner") == str(environment.folder)
    )  # fmt: skip
    for name in () if dry_run else left:
        engine.remove(name)
    return left


class Connection:
    """Held around the life of a one-off container, from before its start: it ends with this. Raises EngineError."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self._engine = engine
        self._held = engine.hold_main(name)
        self._interrupts = 0
        self._done = False

    def command(self, command: Sequence[str]) -> list[str]:
        """The command, as a program that writes its process id for the guard and has the variables of `give`."""
        return ["sh", "-c", _BEGIN, "sh", *command]

    def give(self, variables: Mapping[str, str]) -> None:
        """Hand the command its variables, which no process list and no `docker inspect` shows."""
        text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        data = text.encode(errors="surrogateescape")
        held = self._engine.hold(self.name, ["sh", "-c", _PUT, str(len(data))], user="dev")
        with contextlib.closing(held):
            held.send(data)
            held.wait(_WAIT_S)

    def tell(self, number: int) -> None:
        """Pass a signal on to the command; kill it at the second Ctrl-C."""
        self._interrupts += number == signal.SIGINT
        if self._interrupts < 2 or number != signal.SIGINT:
            self._held.send(b"%d\n" % number)
        else:
            self._held.send(b"%d\ndone\n" % signal.SIGKILL)
            self._done = True

    def done(self) -> None:
        """The command ended: what it left in the background ends with the container."""
        if not self._done:
            self._held.send(b"done\n")
        self._done = True

    def lost(self) -> None:
        """End the command, or wait for the end of what a signal ended, some seconds at most."""
        if not self._done:
            self._held.send(b"end\n")
        self._done = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._done:
            self._engine.wait_removed(self.name, timeout_s=_WAIT_S)
        self._held.close()
        with contextlib.suppress(EngineError):  # the engine removes it at the same time
            self._engine.remove(self.name)
