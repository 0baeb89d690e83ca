"""OpenSSH's own client, with the user's configuration, agent and jump hosts. One connection to a machine carries all
commands; it asks for passwords and host keys itself, on the terminal, and no answer passes through here."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from devenv.doors import process, streams
from devenv.doors.process import Outcome
from devenv.doors.streams import Talk
from devenv.errors import TargetError

T = TypeVar("T")

LOST = 255
"""The client's own exit status: no connection, or it broke. A command there may end with it as well."""
_OPTIONS = (
    "ControlMaster=auto", "ControlPersist=600", "ServerAliveInterval=5", "ServerAliveCountMax=3", "ConnectTimeout=15",
    "ForwardAgent=no", "ForwardX11=no", "PermitLocalCommand=no",
    "RemoteCommand=none",
)  # fmt: skip
_SOCKET_BYTES = 90
"""A socket's path has 108 bytes, and the client adds 17 while it makes one."""
_CAUSES = (
    (r"Could not resolve hostname", "its host name is unknown", "correct it: devenv targets list, ~/.ssh/config"),
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key is another one than before",
     "ask its owner for the reason; then remove the old key: ssh-keygen -R HOST"),
    (r"Host key verification failed|No \S+ host key is known", "its host key is not known yet",
     "check the key and accept it once: ssh {destination} true"),
    (r"Permission denied|Too many authentication failures", "it does not accept your login",
     "make this work first: ssh {destination} true"),
    (r"Connection refused", "no SSH server answers there", "start its SSH server, or correct host and port"),
    (r"timed out|Timeout|No route to host|Network is unreachable", "it does not answer",
     "switch it on, or bring your network up; then try: ssh {destination} true"),
    (r"Connection (closed|reset)|Broken pipe|kex_exchange|lost", "the connection broke",
     "run the command again; it continues with what is there"),
    (r"Bad owner or permissions|Bad configuration option|terminating, \d+ bad", "the client's settings have a mistake",
     "correct ~/.ssh/config"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ssh:
    """One machine. `folder` holds the sockets of connections; see `sockets`."""

    name: str
    destination: str
    folder: Path

    @property
    def socket(self) -> Path:
        """The connection's socket."""
        return self.folder / hashlib.sha256(self.destination.encode()).hexdigest()[:16]

    def command(
        self, words: Sequence[str], *, tty: bool = False, ask: bool = True, forwards: Mapping[int, int] | None = None
    ) -> list[str]:
        """The client's command line for a program there. `ask`: it may ask on the terminal; `forwards`: ports of this
        machine's loopback to those of the machine there."""
        options = [*_OPTIONS, f"ControlPath={self.socket}", f"BatchMode={'no' if ask else 'yes'}"]
        options += [] if forwards else ["ClearAllForwardings=yes"]
        ports = [f"127.0.0.1:{here}:127.0.0.1:{there}" for here, there in (forwards or {}).items()]
        # A login shell of any kind gets the words: POSIX quoting without backslashes holds in all of them.
        return [
            "ssh", *(part for option in options for part in ("-o", option)), "-tt" if tty else "-T", "-e", "none",
            *(part for port in ports for part in ("-L", port)), "--", self.destination, shlex.join(words),
        ]  # fmt: skip

    def control(self, order: str, *words: str) -> Outcome:
        """An order to the open connection: check, exit, cancel. Its status is not 0 without a connection."""
        return _started(
            lambda: process.run(
                ["ssh", "-O", order, "-o", f"ControlPath={self.socket}", *words, "--", self.destination],
                check=False, timeout_s=10,
            )
        )  # fmt: skip

    def cancel(self, forwards: Mapping[int, int]) -> None:
        """Let the open connection no longer listen on these ports."""
        ports = [f"127.0.0.1:{here}:127.0.0.1:{there}" for here, there in forwards.items()]
        with contextlib.suppress(process.TimeoutExpired):
            self.control("cancel", *(part for port in ports for part in ("-L", port)))

    def close(self) -> None:
        """Close the connection, with all that uses it."""
        with contextlib.suppress(process.TimeoutExpired):
            self.control("exit")

    def run(self, words: Sequence[str], *, timeout_s: float | None = None, ask: bool = True) -> Outcome:
        """Run a program there to its end; its status may be any. `ask`: the client may ask on the terminal, if there is
        one. Raises TargetError without a connection."""
        try:
            done = _started(
                lambda: process.run(
                    self.command(words, ask=ask and sys.stdin.isatty()), check=False, timeout_s=timeout_s
                )
            )
        except process.TimeoutExpired:
            raise TargetError(
                f"{self.name} did not answer within {timeout_s:.0f} s", hint=f"try: ssh {self.destination} true"
            ) from None
        if done.code == LOST:
            raise self.fault(done.err)
        return done

    def printing(self, words: Sequence[str], echo: Callable[[str], None]) -> Outcome:
        """Run a program there to its end, as `run` does; `echo` gets what it prints to stderr, as it comes. Ctrl-C ends
        it. Raises TargetError without a connection."""
        with self.talking(words, ask=True, echo=echo) as talk:
            talk.tell.close()
            out = talk.heard.read().decode(errors="replace")
            done = dataclasses.replace(talk.outcome(timeout_s=60), out=out)
        if done.code == LOST:
            raise self.fault(done.err)
        return done

    def interactive(self, words: Sequence[str], *, tty: bool) -> int:
        """Run a program there on this terminal; its exit status, or LOST."""
        return _started(lambda: process.interactive(self.command(words, tty=tty)))

    @contextlib.contextmanager
    def talking(
        self, words: Sequence[str], *, ask: bool = False, forwards: Mapping[int, int] | None = None,
        echo: Callable[[str], None] | None = None,
    ) -> Iterator[Talk]:  # fmt: skip
        """A program there to talk with. Ctrl-C on the terminal reaches the client only where it may `ask` there."""
        with contextlib.ExitStack() as stack:
            command = self.command(words, ask=ask, forwards=forwards)
            yield _started(lambda: stack.enter_context(streams.talking(command, apart=not ask, echo=echo)))

    def fault(self, said: str) -> TargetError:
        """Why there is no connection, from the client's words."""
        unknown = ("", "the SSH client failed", "make this work first: ssh {destination} true")
        _, why, hint = next((one for one in _CAUSES if re.search(one[0], said)), unknown)
        lines = [line for line in said.replace("\r", "").splitlines() if line.strip()]
        return TargetError(
            f"{self.name} cannot be reached: {why}", detail="\n".join(lines[-8:]) or None,
            hint=hint.format(destination=shlex.quote(self.destination)),
        )  # fmt: skip


def is_refusal(said: str) -> bool:
    """Whether the client lacks a login or a known host key, so that another attempt without a person is useless."""
    return bool(re.search(r"Permission denied|Host key verification failed|Too many authentication|HAS CHANGED", said))


def _started(do: Callable[[], T]) -> T:
    try:
        return do()
    except FileNotFoundError:
        raise TargetError("the 'ssh' client program is not installed", hint="install openssh-client") from None


def sockets(runtime: Path | None, uid: int) -> Path:
    """The folder for connections' sockets, of this user alone: in XDG_RUNTIME_DIR, else in /tmp, because the path of a
    socket must be short. Raises TargetError for one that another user made."""
    folder = runtime / "devenv" if runtime else Path(f"/tmp/devenv-{uid}")  # noqa: S108 - checked below
    if len(os.fsencode(folder)) + 17 > _SOCKET_BYTES:
        folder = Path(f"/tmp/devenv-{uid}")  # noqa: S108
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != uid or facts.st_mode & 0o077:
        raise TargetError(
            f"{folder} is not a folder of yours alone", hint=f"remove it, or chmod 700 {folder}, or set XDG_RUNTIME_DIR"
        )
    return folder
