"""Follow `up` on a box from here: its events, whatever happens to the connection meanwhile, and its end."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from devenv.doors import streams
from devenv.doors.ssh import Ssh, is_refusal
from devenv.doors.terminal.stages import Stage, Stages
from devenv.doors.untrusted import from_json
from devenv.errors import TargetError
from devenv.remote.runs import DONE, INTERRUPT
from devenv.remote.talk import places
from devenv.remote.talk.session import LackingError

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 15.0
GIVE_UP_S = 600.0
_MOST_LINE = 1 << 20


@dataclasses.dataclass(slots=True, kw_only=True)
class Ended:
    """How a run ended: its exit status, what it printed for people, and its last events, if there were such."""

    status: int = 0
    said: str = ""
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class _GoneError(TargetError):
    """The box does not know the run any more."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Following:
    """One run of `words` in a project's folder (`project`, as on a command line) on a box."""

    ssh: Ssh
    key: str
    project: str
    words: Sequence[str]
    stages: Stages
    give_up_s: float = GIVE_UP_S
    _name: str = dataclasses.field(default_factory=lambda: secrets.token_hex(8))
    _offset: int = 0

    def run(self) -> Ended:
        """Start it and follow it to its end; a lost connection is made again. Raises TargetError when the box cannot be
        reached at first, or not for some minutes; the run goes on there then."""
        ended = Ended()
        relay = Relay(stages=self.stages)
        wait_s, lost_at = _FIRST_WAIT_S, None
        with contextlib.closing(relay):
            while True:
                offset = self._offset
                try:
                    if self._read(ended, relay):
                        return ended
                    raise TargetError("the connection ended")
                except LackingError:
                    raise
                except TargetError as error:
                    # Nothing came yet: then it is no lost connection.
                    if isinstance(error, _GoneError) or not self._offset or is_refusal(error.detail or ""):
                        raise
                    now = time.monotonic()
                    if self._offset > offset or lost_at is None:
                        lost_at, wait_s = now, _FIRST_WAIT_S
                        self.stages.note(f"{self.ssh.name}: the connection broke, up continues there; connecting again")
                    if now - lost_at > self.give_up_s:
                        raise TargetError(
                            f"the connection to {self.ssh.name} broke; the command continues there",
                            detail=error.detail,
                            hint="run the same command again when it can be reached: it continues with what is there",
                        ) from None
                time.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _read(self, ended: Ended, relay: Relay) -> bool:
        """Read on; whether it is the end."""
        words = () if self._offset else tuple(self.words)
        command = places.start(self.key, "on-box", "run", self._name, str(self._offset), self.project, *words)
        with self.ssh.talking(command) as talk:

            def interrupt() -> None:
                with contextlib.suppress(OSError):
                    talk.tell.write(INTERRUPT)
                    talk.tell.flush()

            begun = False
            with streams.interrupts(interrupt):
                while line := talk.heard.readline(_MOST_LINE):
                    event = _event(line)
                    kind = event.get("event")
                    if not begun:
                        begun = kind == "begin"
                    elif kind == "exit":
                        ended.status, ended.said = int(event.get("status", 1)), str(event.get("said", ""))
                        with contextlib.suppress(OSError):
                            talk.tell.write(DONE)
                            talk.tell.flush()
                        talk.outcome()
                        return True
                    elif kind == "gone":
                        raise _GoneError(
                            f"{self.ssh.name} does not know this run any more", hint="run the command again"
                        )
                    elif line.endswith(b"\n"):
                        self._offset += len(line)
                        ended.result = event if kind == "result" else ended.result
                        ended.error = event if kind == "error" else ended.error
                        relay.event(event)
            outcome = talk.outcome()
        if outcome.code == places.LACKING:
            raise LackingError(self.ssh.name)
        raise self.ssh.fault(outcome.err or "Connection closed")


def _event(line: bytes) -> dict[str, Any]:
    try:
        value = from_json(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@dataclasses.dataclass(slots=True, kw_only=True)
class Relay:
    """Events of another machine, as stages of this one."""

    stages: Stages
    _open: dict[str, tuple[ExitStack, Stage]] = dataclasses.field(default_factory=dict)

    def event(self, event: dict[str, Any]) -> None:
        """Show one event."""
        name, kind = str(event.get("stage", ""))[:40], event.get("event")
        if kind == "note":
            self.stages.note(str(event.get("text", "")))
        elif kind == "stage" and event.get("state") == "started" and name not in self._open and len(self._open) < 50:
            stack = ExitStack()
            self._open[name] = stack, stack.enter_context(self.stages.stage(name))
        elif kind == "stage" and name in self._open and event.get("state") != "started":
            stack, stage = self._open.pop(name)
            stage.cached, stage.failed = event.get("state") == "cached", event.get("state") == "failed"
            stack.close()
        elif name in self._open and kind == "message":
            self._open[name][1].message(str(event.get("text", "")))
        elif name in self._open and kind == "bytes":
            stage = self._open[name][1]
            with contextlib.suppress(TypeError, ValueError):
                stage.total_bytes = int(event.get("total") or 0)
                stage.advance(name, max(int(event["done"]) - stage.done_bytes, 0))

    def close(self) -> None:
        """End the stages that the other machine did not end."""
        while self._open:
            stack, stage = self._open.popitem()[1]
            stage.failed = True
            stack.close()
