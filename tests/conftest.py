"""Options and fixtures that all tests share."""

from __future__ import annotations

import gc
import signal

import pytest
from hypothesis import HealthCheck, settings

_ANY_MACHINE = settings(
    deadline=None,  # a busy machine is no failure
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("quick", _ANY_MACHINE, max_examples=30)
settings.register_profile("thorough", _ANY_MACHINE, max_examples=1000)
settings.load_profile("quick")  # pytest --hypothesis-profile=thorough takes its time

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell; tests interrupt what they start
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What sweeps the engine must be left out where there is none, and where other tests use it."""
    for item in items:
        if "cli" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("engine"):
            raise pytest.UsageError(f"{item.nodeid} uses the engine: mark it so")


def pytest_collection_finish() -> None:
    """Keep the collector from visiting all imported modules again and again: a tenth of the quick tests' time."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew instead of comparing")
