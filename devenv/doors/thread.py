"""Work in a thread of its own, whose result or failure waits for whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

    from devenv.doors.cancellation import Cancellation

_T = TypeVar("_T")


def in_thread(name: str, act: Callable[[], _T]) -> Future[_T]:
    """Run `act` in a thread; the future gives its result, or raises what it raised.

    A daemon, unlike the threads of an executor: the command can end without waiting for work that hangs.
    """
    from concurrent.futures import Future

    future: Future[_T] = Future()

    def run() -> None:
        try:
            done = act()
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread and raised there
            future.set_exception(error)
        else:
            future.set_result(done)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def outcome(future: Future[_T], cancel: Cancellation) -> _T:
    """Wait for the future, no longer than until the cancellation. Raises what its work raised, CancelledError."""
    woken = threading.Event()
    future.add_done_callback(lambda _: woken.set())
    with cancel.ending(woken.set):
        woken.wait()
    cancel.check()
    return future.result()
