"""The first program of a one-off container (`devenv run`): it passes signals to the command, and ends with its client.

It goes there as text (`once.py`), so it needs the standard library only, and any Python 3. Its standard input is the
client's line. A number is a signal for the command, `done` means that the command ended by itself, and `end` that what
is left of it has to end. The end of the input without a word means that the client is gone: Docker closes it, however
the client ended. The container ends with this program, and the engine removes it then.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path

GRACE_S = 10.0  # between the signal and the end of the container, as with `docker stop`
_ENDING = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})


class StoppedError(Exception):
    """Someone stops the container: `docker stop`, or the engine itself."""


def command(note: str) -> int | None:
    """The process id that the command wrote into the file `note`; None before that."""
    with contextlib.suppress(OSError):
        text = Path(note).read_text(encoding="ascii")
        return int(text) if text.endswith("\n") else None
    return None


def others() -> list[int]:
    """Every live process of the container but its first one and this one."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit() or int(name) in (1, os.getpid()):
            continue
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{name}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if state[0] not in "ZX":
                found.append(int(name))
    return found


def send(pids: list[int], number: int) -> None:
    """Send the signal to all of them."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def follow(note: str) -> bool | None:
    """Pass signals on until a word ends that. None when the command ended by itself; else whether it was already asked
    to end. Raises StoppedError."""
    waiting: list[int] = []
    rest, asked = b"", False
    while True:
        if select.select([0], [], [], 0.05 if waiting else None)[0]:
            got = os.read(0, 256)
            *words, rest = (rest + got).split(b"\n")
            if b"done" in words:
                return None
            if not got or b"end" in words:
                return asked
            waiting += [int(word) for word in words if word.isdigit()]
        pid = command(note)
        while pid is not None and waiting:
            number = waiting.pop(0)
            send([pid], number)
            asked = asked or number in _ENDING


def end(*, asked: bool) -> None:
    """Have all that runs end: by SIGTERM, unless it was asked before; the container's end kills what stays."""
    limit = time.monotonic() + GRACE_S
    if not asked:
        send(others(), signal.SIGTERM)
    send(others(), signal.SIGCONT)
    while others() and time.monotonic() < limit:
        time.sleep(0.05)


def stop(number: int, frame: object) -> None:  # noqa: ARG001
    """Take SIGTERM for the wish to end."""
    raise StoppedError


def main(note: str) -> None:
    """Follow the client to the end of its command."""
    signal.signal(signal.SIGTERM, stop)
    asked: bool | None = False
    with contextlib.suppress(StoppedError):
        asked = follow(note)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if asked is not None:
        end(asked=asked)


if __name__ == "__main__":
    main(sys.argv[1])
