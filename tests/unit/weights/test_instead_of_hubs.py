"""How often a hub that cannot be reached is tried: once where another place has the file, else as often as ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.partial_file import Again, Refused
from devenv.doors.http.ranges import Ranges
from devenv.doors.http.retry import Policy
from devenv.errors import FetchError
from devenv.lock.model import ModelFile
from devenv.weights.download import download
from devenv.weights.download.prefetch import Prefetched, prefetch
from devenv.weights.download.transfer import HubSource
from devenv.weights.store import Weights
from tests.unit import handmade
from tests.unit.weights.elsewhere import Elsewhere
from tests.unit.weights.test_weights import locked

BODIES = {"config.json": b"one file"}
TRIES = 4


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub that answers the last of four tries; the tries that it got."""
    got: list[str] = []

    def read(_: Any, file: ModelFile, start: int, end: int, take: Callable[[int, bytes], None]) -> None:
        got.append(file.path)
        if len(got) < TRIES:
            raise Again("cannot connect", offline=True)
        take(start, BODIES[file.path][start:end])

    monkeypatch.setattr(HubSource, "read", read)
    return got


def _fetch(tmp_path: Path, bodies: Mapping[str, bytes] | None, **facts: Any) -> Prefetched:
    settings = handmade.settings(tmp_path)
    further = None if bodies is None else Elsewhere(bodies, number=2, **facts)
    return prefetch(
        locked(BODIES), store=Weights(tmp_path / "weights"), settings=settings, further=further,
        ranges=Ranges(settings, Policy(attempts=TRIES, backoff_s=0.001)),
    )  # fmt: skip


@pytest.mark.parametrize("bodies", [None, {}])
def test_a_registry_without_the_file_takes_no_try_from_a_hub(
    bodies: Mapping[str, bytes] | None, tmp_path: Path, tries: list[str]
) -> None:
    done = _fetch(tmp_path, bodies, stands_in=True)
    assert (done.by_source, len(tries)) == ((("huggingface", 8),), TRIES)


@pytest.mark.parametrize(("stands_in", "count"), [(True, 1), (False, 2)])
def test_where_another_place_has_the_file_a_hub_gets_few_tries(
    stands_in: bool, count: int, tmp_path: Path, tries: list[str]
) -> None:
    done = _fetch(tmp_path, BODIES, stands_in=stands_in)
    assert (done.by_source, len(tries)) == ((("elsewhere", 8),), count)
    assert done.remarks
    assert not Weights(tmp_path / "weights").confirmed(locked(BODIES).key), "it is no proof of what the hub has"


def test_the_error_names_a_hub_that_was_given_up_for_an_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = download.Download.__init__
    monkeypatch.setattr(
        download.Download, "__init__", lambda self, *args, **named: original(self, *args, connections=1, **named)
    )

    def read(*_: Any) -> None:
        raise Refused("cannot connect", offline=True)

    monkeypatch.setattr(HubSource, "read", read)
    bodies = {"a.json": b"first", "b.json": b"second"}
    with pytest.raises(FetchError, match=r"b\.json") as caught:
        prefetch(
            locked(bodies), store=Weights(tmp_path / "weights"), settings=handmade.settings(tmp_path),
            further=Elsewhere({"a.json": b"first"}, number=2, stands_in=True),
        )  # fmt: skip
    assert caught.value.detail == "elsewhere (b.json): has no such file\nhuggingface: cannot connect"
