from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devenv.doors.once import Once
from devenv.errors import FetchError


def test_threads_that_ask_at_once_get_one_value() -> None:
    values, together, made = Once[str, object](), threading.Barrier(8), []

    def make() -> object:
        made.append(threading.get_ident())
        threading.Event().wait(0.2)  # so that the others ask meanwhile
        return object()

    def ask(_: int) -> object:
        together.wait(20)
        return values.get("key", make)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ask, range(8)))
    assert len(found) == len(made) == 1
    assert values.made() == tuple(found)


def test_one_key_does_not_wait_for_another() -> None:
    values = Once[str, str]()
    assert values.get("slow", lambda: values.get("quick", lambda: "made")) == "made"


def test_a_failure_is_kept_and_a_mistake_is_not() -> None:
    values, calls = Once[str, int](), []

    def fail(error: Exception) -> int:
        calls.append(error)
        raise error

    for _ in range(2):
        with pytest.raises(FetchError):
            values.get("failure", lambda: fail(FetchError("it failed")))
        with pytest.raises(ZeroDivisionError):
            values.get("mistake", lambda: fail(ZeroDivisionError()))
    assert [type(one) for one in calls] == [FetchError, ZeroDivisionError, ZeroDivisionError]
    assert values.made() == ()
    assert values.get("mistake", lambda: 3) == 3
