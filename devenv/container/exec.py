"""End a command in a container when its client here ends. Docker alone keeps the command running.

A second process in the container (`exec_guard.py`) reads from a connection that this process holds. The kernel closes
the connection when this process ends in any way, the engine passes that on, and the guard ends the command's session.
"""

from __future__ import annotations

import contextlib
import posixpath
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from devenv.container import exec_guard
from devenv.container.labels import Running
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.held_stdin import Held
from devenv.errors import UsageError
from devenv.plan.inside import WORKSPACE

_PYTHON = "/opt/venv/bin/python"  # in every image
_BEGIN = '{ echo $$ > "$0"; } 2> /dev/null; exec devenv-exec "$@"'
_WAIT_S = exec_guard.GRACE_S + 5


def working_folder(running: Running, engine: Engine, folder: str) -> str:
    """The path of an existing `folder` in the container, relative to the project's. Raises UsageError."""
    path = posixpath.join(WORKSPACE, folder)
    if engine.exec(running.facts.name, ["test", "-d", path], user="dev")[0] != 0:
        raise UsageError(
            f"{running.name} has no folder {path} in the container",
            hint=f"devenv exec {running.name} -- ls {WORKSPACE}",
        )
    return path


class Lifeline:
    """Held around one command in the container `name`; `command` is the command to run there. Raises EngineError."""

    def __init__(self, engine: Engine, name: str) -> None:
        # A unique name, in the one folder that every user may write to.
        self._note = f"/tmp/.devenv-exec-{secrets.token_hex(8)}"  # noqa: S108
        script = Path(exec_guard.__file__).read_text(encoding="utf-8")
        self._held: Held = engine.hold(name, [_PYTHON, "-I", "-S", "-c", script, self._note], user="root")
        self._ending = False

    def command(self, command: Sequence[str]) -> list[str]:
        """`devenv-exec` with this command, after it has written its process id for the guard."""
        return ["sh", "-c", _BEGIN, self._note, *command]

    def tell(self, number: int) -> None:
        """Pass a signal on: the command and all below it get it, and SIGKILL some seconds later."""
        self._ending = True
        self._held.send(b"INT\n" if number == signal.SIGINT else b"TERM\n")

    def done(self) -> None:
        """The command ended by itself: its background processes keep running."""
        if not self._ending:
            self._held.send(b"done\n")

    def lost(self) -> None:
        """End the command, because its own connection broke."""
        if not self._ending:
            self.tell(signal.SIGTERM)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.closing(self._held):
            if self._ending:
                self._held.wait(_WAIT_S)
