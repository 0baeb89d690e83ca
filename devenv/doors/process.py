"""The only module that starts processes: argument lists in, text or lines out, a failure with the whole output."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from devenv.doors.cancellation import Cancellation

TimeoutExpired = subprocess.TimeoutExpired

log = logging.getLogger("devenv.doors.process")
output = logging.getLogger("devenv.output")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished process: `code` (exit status), `out` and `err` (text)."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str


class ProcessError(Exception):
    """A process ended with a status other than 0. Rooms turn it into their own error."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"{shlex.join(outcome.command)} ended with status {outcome.code}")
        self.outcome = outcome


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout_s: float | None = None,
    check: bool = True,
    cancel: Cancellation | None = None,
) -> Outcome:
    """Run `command` to its end. `env` adds to this process's own variables; None removes one.

    Raises ProcessError (status not 0, with `check`), FileNotFoundError (no such program), subprocess.TimeoutExpired,
    CancelledError.
    """
    log.info("%s", shlex.join(command))
    cancel = cancel or Cancellation()
    with subprocess.Popen(
        list(command),
        env=variables(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            with cancel.ending(process.kill):
                out, err = process.communicate(stdin, timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    cancel.check()
    outcome = Outcome(command=tuple(command), code=process.returncode, out=out, err=err)
    if check and outcome.code != 0:
        raise ProcessError(outcome)
    return outcome


def lines(
    command: Sequence[str],
    *,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    cancel: Cancellation | None = None,
) -> Iterator[str]:
    """Yield the process's stderr lines as they come (BuildKit reports there). `env` as for `run`.

    Raises ProcessError at the end when the status is not 0, CancelledError; the process is killed when the caller stops
    early.
    """
    log.info("%s", shlex.join(command))
    cancel = cancel or Cancellation()
    process = subprocess.Popen(
        list(command),
        env=variables(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    assert process.stderr is not None
    out: list[str] = []
    reader = threading.Thread(target=lambda: out.extend(process.stdout or ()), daemon=True)
    reader.start()
    tail: list[str] = []
    try:
        with cancel.ending(process.kill):
            for line in process.stderr:
                tail = [*tail[-199:], line]
                output.info("%s", line.rstrip("\n"))
                yield line.rstrip("\n")
            code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(timeout=1)
        if not reader.is_alive():  # a child process may hold the pipe open
            process.stdout.close()
        process.stderr.close()
    cancel.check()
    if code != 0:
        raise ProcessError(Outcome(command=tuple(command), code=code, out="".join(out), err="".join(tail)))


def feed(
    command: Sequence[str], path: Path, *, offset: int, tell: Callable[[int], None], cancel: Cancellation | None = None
) -> None:
    """Run `command` with a file from `offset` on as its standard input, in pieces; `tell` gets the bytes of each.

    Raises ProcessError, FileNotFoundError (no such program), OSError (the file), CancelledError.
    """
    log.info("%s", shlex.join(command))
    cancel = cancel or Cancellation()
    nothing = subprocess.DEVNULL
    with (
        path.open("rb") as file,
        subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=nothing, stderr=subprocess.PIPE) as process,
        cancel.ending(process.kill),
    ):
        assert process.stdin is not None
        assert process.stderr is not None
        file.seek(offset)
        with contextlib.suppress(BrokenPipeError):
            while piece := file.read(1 << 20):
                process.stdin.write(piece)
                tell(len(piece))
            process.stdin.close()
        err = process.stderr.read().decode(errors="replace")
        code = process.wait()
    cancel.check()
    if code != 0:
        raise ProcessError(Outcome(command=tuple(command), code=code, out="", err=err))


def variables(changes: Mapping[str, str | None] | None) -> dict[str, str] | None:
    """This process's variables with changes, for a program; None without changes."""
    if not changes:
        return None
    return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}


def detached(command: Sequence[str], *, watch_s: float) -> bool:
    """Start a program that keeps running by itself, without its output; whether it did not fail within `watch_s`
    seconds. Raises FileNotFoundError."""
    log.info("%s", shlex.join(command))
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(
        list(command), stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )  # fmt: skip
    try:
        return process.wait(watch_s) == 0
    except TimeoutExpired:
        return True


def become(command: Sequence[str], *, env: Mapping[str, str | None]) -> NoReturn:
    """Go on as another program, in this process; `env` as for `run`. Raises FileNotFoundError."""
    log.info("%s", shlex.join(command))
    os.execvpe(command[0], list(command), variables(env) or os.environ)  # noqa: S606 (no shell is meant)


def interactive(
    command: Sequence[str],
    *,
    env: Mapping[str, str | None] | None = None,
    tell: Callable[[int], None] | None = None,
    passed: Collection[int] = (),
) -> int:
    """Run `command` on this terminal and return its exit status, negative when a signal ended it. `env` as for `run`.

    With `tell`, SIGINT and SIGTERM do not interrupt this process: `tell` is called with the first, and makes the
    command end; with the third the command is killed here. With `passed`, `tell` is called with each of these signals
    instead, and the third SIGINT kills. Raises FileNotFoundError.
    """
    log.info("%s", shlex.join(command))
    signals: list[int] = []
    # The terminal's Ctrl-C would end the child at once, before its last output. It must stay in the terminal's
    # foreground if it reads from there.
    apart = tell is not None and not os.isatty(0)
    with (
        _signalled(tell, signals, passed) as children,
        subprocess.Popen(list(command), env=variables(env), process_group=0 if apart else None) as process,
    ):
        children.append(process)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # The terminal sent it to the child as well, which then ends by itself.
            return process.wait()
    # The docker client exits with 0 when Ctrl-C ends it.
    ended = [number for number in signals if not passed or number == signal.SIGINT]
    return 128 + ended[0] if ended and not apart and code <= 0 else code


@contextlib.contextmanager
def _signalled(
    tell: Callable[[int], None] | None, signals: list[int], passed: Collection[int]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    children: list[subprocess.Popen[bytes]] = []
    if tell is None:
        yield children
        return

    def handle(number: int, frame: object) -> None:  # noqa: ARG001
        signals.append(number)
        if len(signals) == 1 or (passed and signals.count(signal.SIGINT) < 3):
            tell(number)
        elif len(signals) > 2:  # `timeout` sends its signal twice
            for child in children:
                child.kill()

    # What `nohup` has this process ignore stays ignored.
    heard = [one for one in passed if signal.getsignal(one) != signal.SIG_IGN] or (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def standby(command: Sequence[str], told: str, *, keeps: Collection[int] = ()) -> Iterator[None]:
    """Have a program ready beside this process: it gets `told` as its first line, and the line `done` when the work in
    the `with` has ended. When this process is killed before, its input ends without that line, and it can clean up. The
    open files `keeps` stay open in it, locks among them."""
    log.info("%s", shlex.join(command))
    nothing = subprocess.DEVNULL
    with subprocess.Popen(
        list(command), stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, start_new_session=True, text=True,
        pass_fds=tuple(keeps),
    ) as program:  # fmt: skip
        assert program.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            program.stdin.write(f"{told}\n")
            program.stdin.flush()
        yield
        with contextlib.suppress(BrokenPipeError):
            program.stdin.write("done\n")
            program.stdin.flush()


def this_process() -> str:
    """A name of this process, which no other has had since this machine started."""
    return f"{_place()}:{os.getpid()}:{_started(os.getpid())}"


def is_gone(name: str) -> bool:
    """Whether the process of that name has ended; False where this process cannot know."""
    place, _, rest = name.partition(":")
    pid, _, started = rest.partition(":")
    return place == _place() and pid.isdigit() and _started(int(pid)) != started


def _place() -> str:
    """This machine's start, and this process's view of processes."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}".replace(":", "-")


def _started(pid: int) -> str:
    """When a process started, in clock ticks since the machine did (proc(5), field 22 of stat); empty for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
