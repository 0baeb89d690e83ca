"""What a benchmark found: goals with figures, tables, remarks; as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from benchmarks.measure import Series


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One promise: `figure` must be at most `limit`: seconds or ratios, shown in `unit` (`s`, `ms`, `×`)."""

    text: str
    figure: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the promise was kept."""
        return self.figure <= self.limit

    def line(self) -> str:
        """One Markdown list item."""
        word = "met" if self.met else "**not met**"
        figure, limit = number(self.figure, self.unit), number(self.limit, self.unit)
        return f"- {self.text}: {figure} (goal: at most {limit}), {word}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """An aligned Markdown table; the first column is text, the others are figures."""
        cells = [tuple(cell.replace("|", "\\|") for cell in row) for row in (self.columns, *self.rows)]
        widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(self.columns))]
        ruler = tuple("-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths))

        def line(row: tuple[str, ...]) -> str:
            padded = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
            return f"| {' | '.join(padded)} |"

        body = "\n".join(line(row) for row in (cells[0], ruler, *cells[1:]))
        return f"{self.title}\n\n{body}" if self.title else body


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One benchmark's findings. `data` goes to `--json` as it is."""

    name: str
    title: str
    goals: tuple[Goal, ...]
    tables: tuple[Table, ...]
    remarks: tuple[str, ...]
    data: Mapping[str, Any]

    def markdown(self) -> str:
        """The section of docs/benchmarks.md."""
        parts = [f"## {self.title}"]
        if self.goals:
            parts.append("\n".join(goal.line() for goal in self.goals))
        parts += [table.markdown() for table in self.tables]
        if self.remarks:
            parts.append("\n".join(self.remarks))
        return "\n\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        """The same as one JSON value."""
        goals = [{**dataclasses.asdict(goal), "met": goal.met} for goal in self.goals]
        return {"name": self.name, "goals": goals, **self.data}


def number(value: float, unit: str) -> str:
    """`value` (seconds, or a ratio) for people, in `unit`."""
    match unit:
        case "s":
            return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"
        case "ms":
            return f"{value * 1000:.0f} ms"
        case "×":
            return f"{value:.2f} ×"
        case _:
            raise ValueError(f"unknown unit {unit!r}")


def row(series: Series, unit: str) -> tuple[str, str, str, str]:
    """A table row: name, median, range, number of runs."""
    spread = f"{number(series.low, unit).split(' ')[0]}–{number(series.high, unit)}"
    return (series.name, number(series.median, unit), spread, str(len(series.samples)))


def table(title: str, rows: tuple[tuple[str, ...], ...]) -> Table:
    """A table of such rows."""
    return Table(title=title, columns=("", "median", "min–max", "runs"), rows=rows)
