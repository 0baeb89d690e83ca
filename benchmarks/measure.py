"""Samples and their statistics: medians, ranges, ratios of pairs, and runs that take turns."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Samples of one quantity: seconds, or ratios without a unit."""

    name: str
    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f"no samples of {self.name}")

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        """The smallest sample."""
        return min(self.samples)

    @property
    def high(self) -> float:
        """The largest sample."""
        return max(self.samples)

    def as_json(self) -> dict[str, object]:
        """For `--json`: every sample, so that others can compute what they like."""
        return {
            "name": self.name,
            "median": round(self.median, 4),
            "min": round(self.low, 4),
            "max": round(self.high, 4),
            "samples": [round(one, 4) for one in self.samples],
        }


def ratios(name: str, ours: Series, theirs: Series) -> Series:
    """The ratio of each pair of runs. Pairs ran one after the other, so both met the same noise of the machine."""
    if len(ours.samples) != len(theirs.samples):
        raise ValueError(f"{name}: {len(ours.samples)} runs against {len(theirs.samples)}")
    return Series(name=name, samples=tuple(a / b for a, b in zip(ours.samples, theirs.samples, strict=True)))


def alternate(rounds: int, actions: Sequence[Callable[[], T]], *, warm_up: int = 1) -> tuple[tuple[T, ...], ...]:
    """What each action returned, round by round. The actions take turns and each round begins with another one, so
    that none has the better place; `warm_up` further rounds come first and are not counted."""
    told: list[list[T]] = [[] for _ in actions]
    for number in range(-warm_up, rounds):
        for step in range(len(actions)):
            which = (number + step) % len(actions)
            answer = actions[which]()
            if number >= 0:
                told[which].append(answer)
    return tuple(tuple(one) for one in told)


def take_turns(rounds: int, ours: Callable[[], T], theirs: Callable[[], U]) -> tuple[tuple[T, ...], tuple[U, ...]]:
    """`alternate` for two actions that return different things."""
    mine: list[T] = []
    other: list[U] = []
    alternate(rounds + 1, (lambda: mine.append(ours()), lambda: other.append(theirs())), warm_up=0)
    return tuple(mine[1:]), tuple(other[1:])
