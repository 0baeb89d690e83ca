"""A plugin that vLLM loads in each of its processes: a process that vLLM has started ends with its parent. Otherwise an
engine whose parent was killed keeps the GPU's memory for good."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import select
import signal
import threading


class _Anchor:
    """What `register_after_fork` holds on to."""


_ANCHOR = _Anchor()


def register() -> None:
    """Watch the parent, in this process if `multiprocessing` has started it, and in those that it will fork."""
    if multiprocessing.parent_process() is not None:
        end_with_parent()
    multiprocessing.util.register_after_fork(_ANCHOR, lambda _: end_with_parent())


def end_with_parent() -> None:
    """Kill this process as soon as its parent process has ended, for whatever reason. PR_SET_PDEATHSIG would do so when
    the parent's thread ends that started this process."""
    parent = multiprocessing.parent_process()
    number = os.getppid()
    if parent is None or parent.pid is None:
        return
    if number != parent.pid:  # it has ended before we looked, or a fork server is between us
        if not parent.is_alive():
            _end()
        number = parent.pid
    try:
        descriptor = os.pidfd_open(number)
    except ProcessLookupError:
        _end()
    except OSError:  # a kernel older than 5.3
        return
    else:
        threading.Thread(target=_wait, args=(descriptor,), name="ends-with-parent", daemon=True).start()


def _wait(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll()
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
