"""Waiting for another process. Tests do not assert how long it takes: benchmarks measure."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

_GIVE_UP_S = 120


def until(true: Callable[[], bool]) -> None:
    """Ask until it is true; fail when a machine of any load would have done it."""
    end = time.monotonic() + _GIVE_UP_S
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"it did not happen within {_GIVE_UP_S} s")
        time.sleep(0.1)
