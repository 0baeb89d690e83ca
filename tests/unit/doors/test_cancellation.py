from __future__ import annotations

import threading
from pathlib import Path

import pytest

from devenv.doors.cancellation import Cancellation
from devenv.doors.file_lock import hold
from devenv.errors import CancelledError


def test_what_was_begun_under_it_ends_and_what_is_through_does_not() -> None:
    cancel, ended = Cancellation(), []
    with cancel.ending(lambda: ended.append("through")):
        pass
    with cancel.ending(lambda: ended.append("begun")):
        cancel.check()
        cancel.cancel()
        assert ended == ["begun"]
    with pytest.raises(CancelledError):
        cancel.check()


def test_what_begins_later_ends_at_once() -> None:
    cancel, ended = Cancellation(), []
    cancel.cancel()
    with cancel.ending(lambda: ended.append(1)):
        assert ended == [1]


def test_a_part_ends_with_the_whole_and_can_end_alone() -> None:
    whole = Cancellation()
    with whole.part() as one, whole.part() as other:
        one.cancel()
        assert (one.is_set, other.is_set, whole.is_set) == (True, False, False)
        whole.cancel()
        assert other.is_set


@pytest.mark.timeout(30)
def test_a_thread_that_waits_for_a_lock_is_freed(tmp_path: Path) -> None:
    cancel, waits, told = Cancellation(), threading.Event(), []

    def work() -> None:
        try:
            with hold(tmp_path / "lock", waits.set, cancel):
                told.append("had it")
        except CancelledError:
            told.append("freed")

    with hold(tmp_path / "lock", lambda: None):
        thread = threading.Thread(target=work)
        thread.start()
        assert waits.wait(20)
        cancel.cancel()
        thread.join()
    assert told == ["freed"]
