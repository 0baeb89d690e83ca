"""Single lines of text put together: reading order, rows, paragraphs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ocr.grounding import Block


def in_order(lines: Iterable[Block]) -> tuple[Block, ...]:
    """Lines from top to bottom, those of one row from left to right. Every block has one box."""
    return tuple(line for row in _rows(lines) for line in row)


def joined(lines: Sequence[Block]) -> str:
    """The text of lines that are in order: one line for each row, an empty one where the page has a gap."""
    rows = _rows(lines)
    parts: list[str] = []
    for at, row in enumerate(rows):
        if at and _top(row) - _bottom(rows[at - 1]) > 0.8 * min(_height(row), _height(rows[at - 1])):
            parts.append("")
        parts.append("  ".join(line.text for line in row))
    return "\n".join(parts)


def _rows(lines: Iterable[Block]) -> list[list[Block]]:
    """Lines whose middles lie within half a line's height of each other make one row."""
    rows: list[list[Block]] = []
    for line in sorted(lines, key=_middle):
        if rows and _middle(line) - _middle(rows[-1][0]) < 0.5 * min(_height(rows[-1]), _height([line])):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda one: one.boxes[0][0]) for row in rows]


def _middle(line: Block) -> float:
    return (line.boxes[0][1] + line.boxes[0][3]) / 2


def _top(row: Sequence[Block]) -> int:
    return min(line.boxes[0][1] for line in row)


def _bottom(row: Sequence[Block]) -> int:
    return max(line.boxes[0][3] for line in row)


def _height(row: Sequence[Block]) -> float:
    return min(line.boxes[0][3] - line.boxes[0][1] for line in row)
