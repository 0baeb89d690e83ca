from __future__ import annotations

import threading

import pytest

from devenv.doors.http.partial_file import Again, Stopped
from devenv.doors.http.retry import Policy, Tries

_QUICK = Policy(attempts=3, backoff_s=0, longest_wait_s=0)


def test_the_last_try_gives_the_reason_and_the_number() -> None:
    tries = Tries(_QUICK, threading.Event())
    assert [tries.failed(Again("500"), further=False) for _ in range(3)] == [None, None, "500 (3 times)"]
    assert Tries(Policy(attempts=1), threading.Event()).failed(Again("500"), further=False) == "500"


def test_a_source_that_gets_further_has_no_limit_unless_it_is_slow() -> None:
    tries = Tries(_QUICK, threading.Event())
    assert {tries.failed(Again("reset"), further=True) for _ in range(50)} == {None}
    slow = Again("is too slow", slow=True)
    assert [tries.failed(slow, further=True) for _ in range(2)] == [None, "is too slow (3 times)"]


def test_fewer_tries_where_there_is_another_source_and_never_more() -> None:
    tries = Tries(_QUICK, threading.Event())
    assert [tries.failed(Again("x"), further=False, most=2) for _ in range(2)] == [None, "x (2 times)"]
    assert Tries(Policy(attempts=1), threading.Event()).failed(Again("x"), further=False, most=2) == "x"


@pytest.mark.parametrize(("asked_s", "waits"), [(0, [0.4, 0.8, 1.6, 3.2]), (3, [3, 3, 3, 3.2]), (90, [60] * 4)])
def test_waits_double_and_heed_the_server_within_limits(
    asked_s: float, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, seen = threading.Event(), []
    monkeypatch.setattr("random.uniform", lambda *_: 1.0)
    monkeypatch.setattr(stop, "wait", seen.append)
    tries = Tries(Policy(attempts=9), stop)
    for _ in waits:
        tries.failed(Again("503", wait_s=asked_s), further=False)
    assert seen == pytest.approx(waits)


def test_a_stop_ends_the_wait() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        Tries(Policy(backoff_s=600), stop).failed(Again("503", wait_s=600), further=False)
