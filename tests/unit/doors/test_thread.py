from __future__ import annotations

import threading

import pytest

from devenv.doors.cancellation import Cancellation
from devenv.doors.thread import in_thread, outcome
from devenv.errors import CancelledError


def test_a_result_and_any_failure_are_carried_to_the_caller() -> None:
    def fail() -> None:
        raise SystemExit(3)

    assert in_thread("work", lambda: 7).result() == 7
    assert outcome(in_thread("work", lambda: 7), Cancellation()) == 7
    for wait in (lambda: in_thread("work", fail).result(), lambda: outcome(in_thread("work", fail), Cancellation())):
        with pytest.raises(SystemExit):
            wait()


@pytest.mark.timeout(30)
def test_nobody_waits_for_work_that_goes_on_after_a_cancellation() -> None:
    cancel, go = Cancellation(), threading.Event()
    working = in_thread("smoke", lambda: go.wait(20))
    threading.Timer(0.05, cancel.cancel).start()
    with pytest.raises(CancelledError):
        outcome(working, cancel)
    go.set()
    assert working.result() is True


def test_its_thread_keeps_no_command_from_ending() -> None:
    assert in_thread("work", lambda: threading.current_thread().daemon).result()
