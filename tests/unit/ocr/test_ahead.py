"""Several sources worked on at once: order, bounds, errors and the end of the threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import pytest
from ocr.ahead import Ahead

_LONG_S = 10


def ahead(
    sources: Iterable[Iterable[int]],
    *,
    threads: int = 3,
    most: int = 100,
    weigh: Callable[[int], int] = lambda _: 1,
    room: int = 1000,
) -> Ahead[int]:
    return Ahead.of_several(sources, threads, most, weigh, room)


def test_several_sources_are_worked_on_at_once_and_come_out_in_order() -> None:
    """The first three can be made only together."""
    together = threading.Barrier(3)

    def source(number: int) -> Iterator[int]:
        if number < 3:
            together.wait(_LONG_S)
        yield 10 * number
        yield 10 * number + 1

    with ahead(source(number) for number in range(9)) as taken:
        assert list(taken) == [10 * number + one for number in range(9) for one in (0, 1)]
        assert taken.is_over


def test_a_source_is_worked_on_by_one_thread() -> None:
    threads: dict[int, set[int]] = {}

    def source(number: int) -> Iterator[int]:
        for one in range(20):
            threads.setdefault(number, set()).add(threading.get_ident())
            yield one
        threads[number].add(threading.get_ident())

    with ahead([source(number) for number in range(6)], most=4) as taken:
        assert list(taken) == list(range(20)) * 6
    assert [len(own) for own in threads.values()] == [1] * 6


def test_a_later_source_that_is_ready_waits_for_the_first() -> None:
    go_on, is_later = threading.Event(), threading.Event()

    def first() -> Iterator[int]:
        assert go_on.wait(_LONG_S)
        yield 1

    def later() -> Iterator[int]:
        yield 2
        is_later.set()

    with ahead([first(), later()]) as taken:
        assert is_later.wait(_LONG_S)
        assert taken.take(wait=False) is None
        assert not taken.is_over
        go_on.set()
        assert list(taken) == [1, 2]


def test_the_first_may_go_on_when_later_ones_have_filled_the_room() -> None:
    is_full = threading.Event()

    def first() -> Iterator[int]:
        assert is_full.wait(_LONG_S)
        yield from range(4)

    def later() -> Iterator[int]:
        yield 10
        yield 11
        is_full.set()  # this one is in the making, and with it there are as many as there may be
        yield 12

    with ahead([first(), later(), iter([20])], most=4, room=4) as taken:
        assert list(taken) == [0, 1, 2, 3, 10, 11, 12, 20]


@pytest.mark.parametrize(("most", "room", "bound"), [(4, 1000, 4), (100, 50, 5), (100, 5, 1), (1, 1000, 1)])
def test_what_is_ready_and_in_the_making_stays_within_the_bounds(most: int, room: int, bound: int) -> None:
    """Things weigh 10, and there may be one more for the first place."""
    lock = threading.Lock()
    begun, over = [0, 0], threading.Event()
    has_begun = threading.Event()

    def source() -> Iterator[int]:
        for number in range(10):
            with lock:
                begun[0] += 1
                most_yet = max(bound, 3 if room < 30 else 1)  # each thread makes one before anybody knows their weight
                if begun[0] - begun[1] > most_yet + 2:  # one for the first place, one that is just being taken
                    over.set()
                if begun[0] >= bound:
                    has_begun.set()
            yield number

    with ahead([source() for _ in range(9)], most=most, room=room, weigh=lambda _: 10) as taken:
        assert has_begun.wait(_LONG_S)
        while taken.take() is not None:
            with lock:
                begun[1] += 1
    assert begun == [90, 90]
    assert not over.is_set()


def test_an_error_comes_out_in_its_place_and_ends_the_rest() -> None:
    is_raised = threading.Event()

    def failing() -> Iterator[int]:
        yield 10
        is_raised.set()
        raise ValueError("no more")

    def first() -> Iterator[int]:
        assert is_raised.wait(_LONG_S)
        yield 1

    with ahead([first(), failing(), iter([20]), iter([30])]) as taken:
        assert [taken.take(), taken.take()] == [1, 10]
        assert not taken.is_over
        with pytest.raises(ValueError, match="no more"):
            taken.take()
        assert taken.is_over
        assert taken.take() is None


def test_no_source_is_begun_after_an_error() -> None:
    begun: list[int] = []

    def source(number: int) -> Iterator[int]:
        begun.append(number)
        yield number
        raise ValueError("no more")

    with ahead([source(1), source(2)], threads=1) as taken:
        assert taken.take() == 1
        with pytest.raises(ValueError, match="no more"):
            taken.take()
    assert begun == [1]


@pytest.mark.parametrize("count", [0, 3])
def test_all_threads_end_and_sources_are_closed_in_theirs(count: int) -> None:
    before = threading.active_count()
    closed: list[bool] = []
    together = threading.Barrier(4)

    def endless() -> Iterator[int]:
        here = threading.get_ident()
        try:
            together.wait(_LONG_S)
            while True:
                yield 1
        finally:
            closed.append(here == threading.get_ident())

    with ahead([endless() for _ in range(9)], room=6) as taken:
        together.wait(_LONG_S)
        for _ in range(count):
            assert taken.take() == 1
        assert threading.active_count() == before + 3
    assert threading.active_count() == before
    assert closed == [True] * 3


def test_no_sources_are_no_things() -> None:
    with ahead([]) as taken:
        assert taken.take() is None
        assert taken.is_over
    with ahead([(), (), iter([1]), ()]) as taken:
        assert list(taken) == [1]
