"""Programs that run beside this one: some talk with it in bytes, some outlive it, some must not outlive its reader."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import select
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from devenv.doors.process import Outcome
from devenv.doors.process import variables as process_variables

log = logging.getLogger("devenv.doors.process")
_KEPT_BYTES = 1 << 16
_END_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A running program. `tell` is its standard input, `heard` its standard output."""

    tell: IO[bytes]
    heard: IO[bytes]
    _process: subprocess.Popen[bytes]
    _said: list[bytes]
    _reader: threading.Thread

    def outcome(self, *, timeout_s: float = _END_S) -> Outcome:
        """How it ended; it is killed when it does not. `out` is empty, because its reader has it."""
        with contextlib.suppress(OSError):
            self.tell.close()
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(timeout=1)
        said = b"".join(self._said).decode(errors="replace")
        return Outcome(command=tuple(map(str, self._process.args)), code=code, out="", err=said)  # type: ignore[arg-type]

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


@contextlib.contextmanager
def talking(
    command: Sequence[str], *, apart: bool = False, echo: Callable[[str], None] | None = None
) -> Iterator[Talk]:
    """Run a program to talk with; it is killed at the end. `apart`: the terminal's Ctrl-C does not reach it; `echo`
    gets what it prints to stderr, as it comes. Raises FileNotFoundError."""
    log.info("%s", shlex.join(command))
    process = subprocess.Popen(
        list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        process_group=0 if apart else None,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[bytes] = []
    reader = threading.Thread(target=_collect, args=(process.stderr, said, echo), daemon=True)
    reader.start()
    try:
        yield Talk(tell=process.stdin, heard=process.stdout, _process=process, _said=said, _reader=reader)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        reader.join(timeout=1)
        if not reader.is_alive():  # a child process may hold the pipe open
            process.stderr.close()


def _collect(stream: IO[bytes], said: list[bytes], echo: Callable[[str], None] | None) -> None:
    while piece := os.read(stream.fileno(), 4096):
        said.append(piece)
        if echo:
            echo(piece.decode(errors="replace"))
        while len(said) > 1 and sum(map(len, said)) > _KEPT_BYTES:
            said.pop(0)


def background(
    command: Sequence[str], *, cwd: Path = Path("/"), variables: Mapping[str, str] | None = None,
    said: Path | None = None,
) -> int:  # fmt: skip
    """Start a program that outlives this process; its id. What it prints to stderr is added to the file `said`. Raises
    FileNotFoundError."""
    log.info("%s", shlex.join(command))
    nothing = subprocess.DEVNULL
    with contextlib.ExitStack() as opened:
        errors = nothing
        if said is not None:
            descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            opened.callback(os.close, descriptor)
            errors = descriptor
        process = subprocess.Popen(
            list(command), cwd=cwd, stdin=nothing, stdout=nothing, stderr=errors, start_new_session=True,
            env=process_variables(variables),
        )  # fmt: skip
    process.returncode = 0  # nobody waits for it: else Python warns of a process that still runs
    return process.pid


def end(pid: int, number: int = signal.SIGTERM) -> None:
    """Send a signal to a process that this user started; nothing when it has ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def guarded(command: Sequence[str], *, cwd: Path) -> int:
    """Run a program on this process's own streams; its exit status, 128 and the signal's number when one ended it.

    It ends with whoever reads its output: when a connection breaks, nobody else tells it.
    """
    log.info("%s", shlex.join(command))
    before = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGINT, signal.SIGHUP)}
    try:
        process = subprocess.Popen(list(command), cwd=cwd)
        threading.Thread(target=_end_with_reader, args=(process,), daemon=True).start()
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _end_with_reader(process: subprocess.Popen[bytes]) -> None:
    wait_hangup((1, 2))
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()


def wait_hangup(descriptors: Sequence[int]) -> None:
    """Wait until the other end of one of these streams is closed. A file never is."""
    poll = select.poll()
    for one in descriptors:
        poll.register(one, 0)  # errors and hang-ups are always reported
    poll.poll()


@contextlib.contextmanager
def interrupts(first: Callable[[], object]) -> Iterator[None]:
    """Within the `with` the first Ctrl-C or SIGTERM calls `first`, and interrupts nothing; the next one does. Nothing
    changes where this is not the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def handle(number: int, frame: object) -> None:  # noqa: ARG001
        seen.append(number)
        if len(seen) > 1:
            raise KeyboardInterrupt
        first()

    before = {one: signal.signal(one, handle) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
