"""A short run against the recorded figures: what became slower?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from benchmarks.result import Goal, Result, number

SLOWER = 1.10
QUICK = ("warm", "noop", "help", "render", "rebuild", "changes")
"""What takes minutes in all, and removes nothing."""
_MACHINE = 1.3
"""Seconds of one machine and of another differ by this much for the same commit. Ratios do not."""
_LINE = re.compile(r"^- (?P<text>.+): (?P<figure>[0-9.]+) (?P<unit>s|ms|×) \(goal: ", re.MULTILINE)
_SECTION = re.compile(r"<!-- (?P<name>[a-z]+) -->(?P<body>.*?)<!-- /(?P=name) -->", re.DOTALL)


def recorded(document: str) -> dict[tuple[str, str], float]:
    """(benchmark, its goal's text) → the figure in the document: seconds or a ratio."""
    return {
        (section["name"], line["text"]): float(line["figure"]) / (1000 if line["unit"] == "ms" else 1)
        for section in _SECTION.finditer(document)
        for line in _LINE.finditer(section["body"])
    }


def compare(results: Sequence[Result], before: Mapping[tuple[str, str], float]) -> tuple[list[str], list[str]]:
    """(a line for every figure, the lines of those that became more than a tenth slower).

    Seconds depend on the machine: they count as slower beyond what machines of one kind differ by.
    """
    lines, slower = [], []
    for result in results:
        for goal in result.goals:
            old = before.get((result.name, goal.text))
            lines.append(_line(result, goal, old))
            allowed = SLOWER if goal.unit == "×" else SLOWER * _MACHINE
            if old is not None and goal.figure > old * allowed:
                slower.append(lines[-1])
    return lines, slower


def _line(result: Result, goal: Goal, old: float | None) -> str:
    now = number(goal.figure, goal.unit)
    was = "not recorded" if old is None else f"recorded {number(old, goal.unit)}"
    change = "" if not old else f", {(goal.figure / old - 1) * 100:+.0f} %"
    return f"{result.name}: {goal.text}: {now} ({was}{change})"
