"""Which connections `weights serve` keeps, and which it closes for others."""

from __future__ import annotations

import pytest

from devenv.weights.serve.guests import Guests


class Clock:
    """A time that goes on by one second with each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_silent_connections_of_one_address_leave_places_for_others() -> None:
    guests = Guests(connections=8, of_one=4, clock=Clock())
    told = [guests.admit(n, "10.0.0.1") for n in range(6)]
    assert told == [(True, None)] * 4 + [(True, 0), (True, 1)], "the oldest of the same address gives way"
    assert guests.admit("other", "10.0.0.2") == (True, None)


def test_when_all_places_are_taken_the_address_with_the_most_strangers_gives_way() -> None:
    guests = Guests(connections=4, of_one=3, clock=Clock())
    for key, host in (("a", "10.0.0.1"), ("b1", "10.0.0.2"), ("b2", "10.0.0.2"), ("c", "10.0.0.3")):
        guests.admit(key, host)
    assert guests.admit("d", "10.0.0.4") == (True, "b1")


def test_who_showed_the_token_gives_way_after_all_strangers_and_not_while_it_is_answered() -> None:
    guests = Guests(connections=2, of_one=2, clock=Clock())
    guests.admit("known", "10.0.0.1")
    guests.asked("known", known=True)
    guests.waits("known")
    guests.admit("stranger", "10.0.0.2")
    assert guests.admit("next", "10.0.0.3") == (True, "stranger")
    guests.asked("next", known=True)
    assert guests.admit("last", "10.0.0.4") == (True, "known")
    guests.asked("last", known=False)
    assert guests.admit("late", "10.0.0.5") == (False, None), "nobody waits"
    guests.leaves("last")
    assert guests.admit("late", "10.0.0.5") == (True, None)


def test_known_ones_of_one_address_are_as_many_as_there_are_places() -> None:
    guests = Guests(connections=8, of_one=2, clock=Clock())
    for key in range(8):
        assert guests.admit(key, "10.0.0.1") == (True, None)
        guests.asked(key, known=True)


def test_the_first_request_has_less_time_than_the_next_of_a_known_one() -> None:
    clock = Clock()
    guests = Guests(clock=clock)
    guests.admit("silent", "10.0.0.1")
    guests.admit("known", "10.0.0.2")
    guests.asked("known", known=True)
    assert guests.late() == ()
    clock.now += guests.first_s
    guests.waits("known")
    assert guests.late() == ("silent",)
    assert guests.late() == ()
    clock.now += guests.next_s
    assert guests.late() == ("known",)


def test_bytes_that_come_slowly_give_no_more_time() -> None:
    clock = Clock()
    guests = Guests(clock=clock)
    guests.admit("slow", "10.0.0.1")
    clock.now += guests.first_s
    guests.waits("slow")
    assert guests.late() == ("slow",)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True), ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True), ("fe80::1%eth0", "fe80::2%eth0", True), ("10.0.0.1", "10.0.0.2", False),
    ],
)  # fmt: skip
def test_addresses_that_one_sender_can_have_count_as_one(one: str, other: str, same: bool) -> None:
    guests = Guests(connections=8, of_one=1, clock=Clock())
    guests.admit("one", one)
    assert guests.admit("other", other) == (True, "one" if same else None)
