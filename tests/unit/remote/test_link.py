"""The keeper of a link: it tries again, stops with its file, and does not knock for ever."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.ssh import Ssh
from devenv.errors import TargetError
from devenv.remote import link as keeping
from devenv.remote import links
from devenv.remote.link import Keeper
from devenv.remote.links import Link
from devenv.remote.talk.session import LackingError

LINK = Link(target="box", destination="me@box", name="env", key="k", ports=((8443, 18443),))


class _Clock:
    """Time passes only while somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.01)


class _Ssh(Ssh):
    def cancel(self, forwards: Any) -> None: ...


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    monkeypatch.setattr(keeping, "time", _Clock())
    monkeypatch.setattr(keeping, "GIVE_UP_S", 2000.0)
    path = tmp_path / "env.json"
    links.keep(path, LINK)
    return Keeper(
        path=path,
        link=LINK,
        ssh=_Ssh(name="box", destination="me@box", folder=tmp_path),
        sync=None,
        told=lambda _: None,
    )


def _failing(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> list[float]:
    """Each connection fails with the next error, the last one for ever; the times of the attempts."""
    times: list[float] = []

    @contextlib.contextmanager
    def session(*_: Any, **__: Any) -> Iterator[None]:
        times.append(keeping.time.monotonic())
        raise errors[min(len(times), len(errors)) - 1]
        yield

    monkeypatch.setattr(keeping, "session", session)
    return times


def test_a_lost_box_is_asked_less_and_less_and_not_for_ever(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    times = _failing(monkeypatch, TargetError("box cannot be reached", detail="Connection refused"))
    keeper.run()
    waits = [after - before for before, after in pairwise(times)]
    assert waits[0] < 1 < waits[3]
    assert max(waits) < 40
    assert keeping.GIVE_UP_S <= times[-1] + 60 < keeping.GIVE_UP_S + 120
    left = links.read(keeper.path)
    assert left is not None
    assert left.state == "box cannot be reached"


def test_a_refused_login_is_not_tried_again_without_a_person(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    times = _failing(monkeypatch, TargetError("no", detail="Permission denied (publickey)."), LackingError("end"))
    slept = keeping.time.sleep

    def sleep(seconds: float) -> None:
        slept(seconds)
        if keeping.time.monotonic() > 1000:  # now somebody logs in
            keeper.ssh.socket.touch()

    monkeypatch.setattr(keeping.time, "sleep", sleep)
    keeper.run()
    assert len(times) == 2
    assert times[1] > 1000


def test_it_ends_with_its_file_and_with_another_keeper(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    times = _failing(monkeypatch, TargetError("lost"))
    links.keep(keeper.path, dataclasses.replace(LINK, process="another"))
    keeper.run()
    keeper.path.unlink()
    keeper.run()
    assert times == []
    assert not keeper.path.exists()
