"""No test asserts on wall-clock time: a busy machine is no failure, and benchmarks measure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}


def _asks_a_clock(statement: ast.Assert) -> bool:
    """`time.monotonic() - began < 3`, or `done.seconds < 3`."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr in CLOCKS)
        or (isinstance(node, ast.Call) and ast.unparse(node.func) == "time.time")
        or (
            isinstance(node, ast.Compare)
            and ast.unparse(node.left).endswith((".seconds", '["seconds"]', "['seconds']"))
            and isinstance(node.ops[0], ast.Lt | ast.LtE)
        )
        for node in ast.walk(statement)
    )


def _asserts(text: str) -> list[ast.Assert]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assert)]


def test_no_assertion_asks_a_clock() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{one.lineno}"
        for path in sorted(TESTS.rglob("*.py"))
        if "monotonic" in (text := path.read_text())
        or "seconds" in text
        or "time.time" in text
        or "perf_counter" in text
        for one in _asserts(text)
        if _asks_a_clock(one)
    ]
    assert found == [], "assert on what happened; tests/waiting.py waits"


@pytest.mark.parametrize(
    "line",
    ["assert time.monotonic() - began < 3", "assert done.seconds < 2.0", "assert all(x['seconds'] <= 1 for x in y)"],
)
def test_it_is_seen(line: str) -> None:
    assert _asks_a_clock(_asserts(line)[0])
