"""The stage that fetches a model's weights."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.errors import CancelledError, FetchError
from devenv.lock.model import LockedModel
from devenv.up.session import Session
from devenv.up.weights import fetch_model
from devenv.weights.download import prefetch
from tests.unit.weights.test_weights import locked


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the download was given."""
    calls: list[dict[str, Any]] = []

    def bring(_: LockedModel, **more: Any) -> prefetch.Prefetched:
        calls.append(more)
        return prefetch.Prefetched(files=len(calls) - 1, bytes=0, linked=0, here=2, seconds=0.0)

    monkeypatch.setattr(prefetch, "prefetch", bring)
    return calls


def test_a_model_that_is_here_is_a_cached_stage(session: Session, fetched: list[dict[str, Any]]) -> None:
    fetch_model(locked(), session)
    fetch_model(locked(), session)
    assert [(one.name, one.cached) for one in session.stages.reports()] == [("weights", True), ("weights", False)]
    assert fetched[0]["store"].root == session.settings.hubs.dir


def test_a_cancelled_download_is_no_failure_of_the_network(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def halted(*_: Any, **__: Any) -> None:
        session.cancel.cancel()
        raise FetchError("the connection was closed")

    monkeypatch.setattr(prefetch, "prefetch", halted)
    with pytest.raises(CancelledError):
        fetch_model(locked(), session)
