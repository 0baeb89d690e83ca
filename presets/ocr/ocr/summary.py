"""What a run came to: counts, speed, and by name every page that is not as it should be."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ocr import errors
from ocr.output import Blank

_LISTED = 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One page's end; `page` is None where a whole file could not be read. `skipped`: it was done already."""

    source: str
    page: int | None
    status: Literal["ok", "cut_off", "looped", "failed"]
    skipped: bool = False
    tokens: int = 0
    error: str | None = None
    hint: str | None = None
    blank: Blank | None = None

    @property
    def name(self) -> str:
        """For people."""
        return self.source if self.page is None else f"{self.source}, page {self.page}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A path in a folder that is not read, and why."""

    source: str
    reason: str


def why_left_out(left_out: Sequence[LeftOut]) -> list[str]:
    """For people: each reason with its count and an example."""
    counts = Counter(one.reason for one in left_out)
    examples = {one.reason: one.source for one in reversed(left_out)}
    return [f"left out, {reason}: {_such_as(examples[reason], count)}" for reason, count in sorted(counts.items())]


def _such_as(example: str, count: int) -> str:
    return example if count == 1 else f"{example} and {count - 1} more"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A run's result. Seconds and speed are those of reading; loading the model is beside them."""

    outcomes: tuple[Outcome, ...]
    seconds: float
    seconds_load: float
    settings: Mapping[str, Any]
    output: str
    left_out: tuple[LeftOut, ...] = ()

    def _of(self, *statuses: str) -> list[Outcome]:
        return [one for one in self.outcomes if one.status in statuses]

    @property
    def _blank(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.blank is not None]

    @property
    def status(self) -> int:
        """The command's exit status."""
        if self._of("failed"):
            return errors.SOME_FAILED
        return errors.SOME_INCOMPLETE if self._of("cut_off", "looped") else 0

    @property
    def read(self) -> int:
        """Pages read in this run."""
        return sum(not one.skipped and one.status != "failed" for one in self.outcomes)

    @property
    def tokens(self) -> int:
        """Tokens made in this run."""
        return sum(one.tokens for one in self.outcomes if not one.skipped)

    def document(self) -> dict[str, Any]:
        """For `--json` and for ocr-summary.json."""
        return {
            "pages": len(self.outcomes),
            "read": self.read,
            "skipped": sum(one.skipped for one in self.outcomes),
            "failed": [
                {"source": one.source, "page": one.page, "error": one.error, "hint": one.hint}
                for one in self._of("failed")
            ],
            "incomplete": [
                {"source": one.source, "page": one.page, "why": one.status} for one in self._of("cut_off", "looped")
            ],
            "blank": [{"source": one.source, "page": one.page, "why": one.blank} for one in self._blank],
            "left_out": [dataclasses.asdict(one) for one in self.left_out],
            "seconds": round(self.seconds, 3),
            "seconds_load": round(self.seconds_load, 3),
            "pages_per_s": _rate(self.read, self.seconds),
            "tokens": self.tokens,
            "tokens_per_s": _rate(self.tokens, self.seconds),
            "output": self.output,
            "exit_status": self.status,
            **self.settings,
        }

    def lines(self) -> list[str]:
        """For people."""
        skipped = sum(one.skipped for one in self.outcomes)
        said = [f"{self.read} page{'s' if self.read != 1 else ''} read in {self.seconds:.1f} s"]
        if self.read and self.seconds:
            said.append(f"{self.read / self.seconds:.2f} pages/s")
        if self.tokens and self.seconds:
            said.append(f"{self.tokens / self.seconds:.0f} tokens/s")
        if skipped:
            said.append(f"{skipped} done before")
        if self._blank:
            said.append(f"{len(self._blank)} blank")
        if self.left_out:
            said.append(f"{len(self.left_out)} left out")
        out = [", ".join(said) + f"; results in {self.output}"]
        why = {"cut_off": "cut off: the answer reached the most tokens", "looped": "went round in circles"}
        unlike = [(one.name, why[one.status]) for one in self._of("cut_off", "looped")]
        unlike += [(one.name, f"failed: {one.error}") for one in self._of("failed")]
        empty = {"one_colour": "blank: nothing on it", "no_text": "blank: no text was found on it"}
        unlike += [(one.name, empty[one.blank]) for one in self._blank if one.blank is not None]
        out += [f"  {name}: {reason}" for name, reason in unlike[:_LISTED]]
        if len(unlike) > _LISTED:
            out.append(f"  and {len(unlike) - _LISTED} more, in ocr-summary.json")
        return out + [f"  {line}" for line in why_left_out(self.left_out)]


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 3) if seconds else 0.0
