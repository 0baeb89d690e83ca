"""Runs inside an environment beside a command of `devenv exec`, and ends that command when its client is gone.

It goes there as text (`exec.py`), so it needs the standard library only, and any Python 3. Its standard input is
the client's line: `done` means that the command ended by itself, `INT` or `TERM` that the client got that signal, and
the end of the input without a word that the client is gone: Docker closes it, however the client ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path

BEGIN_S = 10.0  # how long a command may take to begin after its client has ended
GRACE_S = 3.0  # between the first signal and SIGKILL
_HUP, _TERM = 1 << (signal.SIGHUP - 1), 1 << (signal.SIGTERM - 1)


class Leader:
    """The command: the leader of a session of its own, as everything is that Docker starts in a container."""

    def __init__(self, pid: int, began: str, terminal: bool) -> None:
        self.pid = pid
        self.began = began
        self.terminal = terminal


def look(pid: int) -> tuple[str, int, int, str]:
    """(state, session, terminal or 0, start) of a process; proc(5) has the fields. Raises OSError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[3]), int(fields[4]), fields[19]


def ignored(pid: int) -> int:
    """The signals that a process ignores, as a mask. Raises OSError when it is gone."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))


def detached(mask: int, own: int) -> bool:
    """Whether the process was started with `nohup`. No where everything ignores SIGHUP, as the engine may have begun
    under nohup (`own`: our own mask); and a process that also ignores SIGTERM does not count."""
    return bool(mask & _HUP) and not mask & _TERM and not own & _HUP


def leader(note: str) -> Leader | None:
    """The command that wrote its number into the file `note`; None before that."""
    try:
        text = Path(note).read_text(encoding="ascii")
    except OSError:
        return None
    if not text.endswith("\n"):
        return None
    pid = int(text)
    try:
        _, _, terminal, began = look(pid)
    except OSError:  # it has ended; what it started may be there
        return Leader(pid, "", False)
    return Leader(pid, began, terminal != 0)


def members(one: Leader, *, every: bool = False) -> list[int]:
    """The processes of its session, without those that were detached from it on purpose unless `every`."""
    with contextlib.suppress(OSError):
        if one.began and look(one.pid)[3] != one.began:
            return []  # another process has the id now
    own = ignored(os.getpid())
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, StopIteration):
            state, session, _, _ = look(int(name))
            if session == one.pid and state not in "ZX" and (every or not detached(ignored(int(name)), own)):
                found.append(int(name))
    return found


def send(pids: list[int], number: int) -> None:
    """Send the signal to all of them."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def end(one: Leader, word: str) -> None:
    """End the session: with a terminal by SIGHUP, as when a terminal closes (shells ignore SIGTERM there), else with
    the client's own signal; by SIGKILL what is still there after the grace."""
    first = signal.SIGHUP if one.terminal else signal.SIGINT if word == "INT" else signal.SIGTERM
    every = False
    with contextlib.suppress(OSError, StopIteration):
        every = word != "" and bool(ignored(one.pid) & _HUP)  # `nohup` ignores a hangup, but not Ctrl-C
    send(members(one, every=every), first)
    send(members(one, every=every), signal.SIGCONT)
    limit = time.monotonic() + GRACE_S
    while members(one, every=every) and time.monotonic() < limit:
        time.sleep(0.05)
    for _ in range(40):
        left = members(one, every=every)
        if not left:
            return
        send(left, signal.SIGKILL)
        time.sleep(0.05)


def main(note: str) -> None:
    """Wait for the client's message or its end."""
    one: Leader | None = None
    line = b""
    limit = None
    while one is None or limit is None:
        if limit is None and select.select([0], [], [], None if one else 0.05)[0]:
            got = os.read(0, 64)
            line += got
            if line.startswith(b"done\n"):
                break
            if not got or b"\n" in line:
                limit = time.monotonic() + BEGIN_S
        one = one or leader(note)
        if limit is not None and one is None:
            if time.monotonic() > limit:
                break
            time.sleep(0.05)
    else:
        end(one, line.partition(b"\n")[0].decode("ascii", "replace"))
    with contextlib.suppress(OSError):
        Path(note).unlink()


if __name__ == "__main__":
    main(sys.argv[1])
