"""The laptop's side of a conversation with the devenv on a box."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from devenv.doors.ssh import Ssh
from devenv.doors.streams import Talk
from devenv.errors import TargetError
from devenv.remote.talk import places, wire

WINDOW = 32
"""So many questions may wait for their answers; what answers them is small."""
MOST_LIST_BYTES = 64 << 20


class LackingError(TargetError):
    """The box has not this devenv yet."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has not this version of devenv yet", hint="run the command again")


class FullError(TargetError):
    """A disk of the box is full."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One conversation."""

    ssh: Ssh
    talk: Talk

    def ask(self, header: Mapping[str, Any], chunks: Iterable[bytes] = (), size: int = 0) -> None:
        """Send a question, whose answer `answer` or `heard` reads later. Raises TargetError."""
        try:
            wire.send(self.talk.tell, header, chunks, size)
        except OSError:
            raise self.lost("") from None

    def heard(self) -> tuple[dict[str, Any], int]:
        """The next answer, whose bytes the caller has to read. Raises TargetError for a lost connection."""
        try:
            message = wire.receive(self.talk.heard)
        except wire.WireError as error:
            raise self.lost(str(error)) from None
        if message is None:
            raise self.lost("")
        return message

    def answer(self, *, most: int = MOST_LIST_BYTES) -> tuple[dict[str, Any], bytes]:
        """The next answer with its bytes. Raises TargetError for a refusal, and for a lost connection."""
        header, size = self.heard()
        try:
            data = wire.whole(self.talk.heard, size, most=most)
        except wire.WireError as error:
            raise self.lost(str(error)) from None
        check(header, self.ssh.name)
        return header, data

    def pieces(self, size: int) -> Iterator[bytes]:
        """The bytes of an answer. Raises TargetError when the connection ends before."""
        try:
            yield from wire.pieces(self.talk.heard, size)
        except wire.WireError as error:
            raise self.lost(str(error)) from None

    def alive(self) -> None:
        """Whether the box answers. Raises TargetError."""
        self.ask({"op": "ping"})
        self.answer()

    def lost(self, why: str) -> TargetError:
        """Why the conversation ended."""
        outcome = self.talk.outcome(timeout_s=2)
        if outcome.code == places.LACKING:
            return LackingError(self.ssh.name)
        error = self.ssh.fault(outcome.err or "Connection closed")
        error.detail = "\n".join(filter(None, (error.detail, why))) or None
        return error


def check(header: Mapping[str, Any], name: str) -> None:
    """Raise TargetError for a refusal."""
    if header.get("ok") is True:
        return
    why = str(header.get("why"))
    if header.get("full") is True:
        raise FullError(
            f"a disk of {name} is full: {why}", hint="free space there, for example with 'devenv prune' there"
        )
    raise TargetError(f"{name} refused: {why}", hint="run the command again")


@contextlib.contextmanager
def session(ssh: Ssh, key: str, *, ask: bool = False, forwards: Mapping[int, int] | None = None) -> Iterator[Session]:
    """Talk with the devenv `key` on a box. Raises TargetError, LackingError where it is not there."""
    with ssh.talking(command(key), ask=ask, forwards=forwards) as talk:
        begun = Session(ssh=ssh, talk=talk)
        if not wire.begin(talk.heard):
            raise begun.lost("")
        yield begun


def command(key: str) -> Sequence[str]:
    """What serves a conversation there."""
    return places.start(key, "on-box", "serve")
