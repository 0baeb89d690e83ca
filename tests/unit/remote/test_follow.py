"""Following a run over connections that break."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from devenv.doors.process import Outcome
from devenv.doors.ssh import Ssh
from devenv.doors.streams import Talk
from devenv.doors.terminal.console import Console
from devenv.errors import TargetError
from devenv.remote import follow
from devenv.remote.follow import Ended, Following
from devenv.remote.talk.session import LackingError

EVENTS = [
    {"event": "stage", "stage": "build", "state": "started"}, {"event": "message", "stage": "build", "text": "step"},
    {"event": "bytes", "stage": "build", "done": 5, "total": 9}, {"event": "note", "text": "a remark"},
    {"event": "stage", "stage": "build", "state": "done", "seconds": 1}, {"event": "result", "name": "x", "urls": {}},
]  # fmt: skip
LINES = b"".join(json.dumps(one).encode() + b"\n" for one in EVENTS)


class _Talk:
    def __init__(self, heard: bytes, code: int, said: str) -> None:
        self.heard, self.tell, self.code, self.said = io.BytesIO(heard), io.BytesIO(), code, said

    def outcome(self, *, timeout_s: float = 0) -> Outcome:
        return Outcome(command=(), code=self.code, out="", err=self.said)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Box(Ssh):
    """A box whose connections give so many bytes each, in order."""

    cuts: list[int]
    code: int = 255
    said: str = "Connection closed by remote host"
    status: int = 0
    asked: list[Sequence[str]] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def talking(self, words: Sequence[str], **_: Any) -> Iterator[Talk]:
        self.asked.append(words)
        offset = int(words[words.index("run") + 2])
        end = json.dumps({"event": "exit", "status": self.status, "said": "warning: w\n"}).encode() + b"\n"
        data = b'noise of a login\n{"event": "begin"}\n' + LINES[offset:] + end
        if self.cuts:
            data = data[: self.cuts.pop(0)]
        yield cast("Talk", _Talk(data, self.code, self.said))


def _follow(box: _Box, monkeypatch: pytest.MonkeyPatch, **values: Any) -> tuple[Ended, list[dict[str, Any]]]:
    monkeypatch.setattr("time.sleep", lambda _: None)
    events: list[dict[str, Any]] = []
    with Console(quiet=True).stages(events.append) as stages:
        following = Following(ssh=box, key="k", project="-", words=("up", "x"), stages=stages, **values)
        return following.run(), events


def _box(cuts: list[int], **values: Any) -> _Box:
    return _Box(name="box", destination="me@box", folder=Path("/nowhere"), cuts=cuts, **values)


def test_events_arrive_as_stages_here(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, events = _follow(_box([], status=10), monkeypatch)
    assert (ended.status, ended.said, ended.result) == (10, "warning: w\n", EVENTS[-1])
    assert [(one["event"], one.get("state")) for one in events if one["event"] in ("stage", "note")] == [
        ("stage", "started"), ("note", None), ("stage", "done"),
    ]  # fmt: skip


@pytest.mark.parametrize("cut", range(40, 400, 17))
def test_a_cut_anywhere_shows_each_event_once(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    box = _box([120, cut, cut, cut, cut, cut, cut, cut])
    ended, events = _follow(box, monkeypatch)
    assert ended.result == EVENTS[-1]
    kinds = [(one["event"], one.get("state")) for one in events if "broke" not in str(one.get("text"))]
    assert kinds.count(("stage", "started")) == kinds.count(("stage", "done")) == kinds.count(("note", None)) == 1
    assert [one[one.index("run") + 4 :] for one in box.asked[1:]] == [()] * (len(box.asked) - 1), "it is started once"


def test_no_connection_at_first_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TargetError, match="it does not answer"):
        _follow(_box([0], said="ssh: connect to host box port 22: Connection timed out"), monkeypatch)


def test_a_connection_that_stays_away_is_one_error_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TargetError, match="the command continues there") as told:
        _follow(_box([120, *[0] * 50]), monkeypatch, give_up_s=-1.0)
    assert "run the same command again" in (told.value.hint or "")


def test_a_box_that_refuses_the_login_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    box = _box([120, 0, 0], said="Permission denied (publickey).")
    with pytest.raises(TargetError, match="does not accept your login"):
        _follow(box, monkeypatch)
    assert len(box.asked) == 1


def test_a_box_without_this_devenv_is_another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LackingError):
        _follow(_box([0], code=97), monkeypatch)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n", b"[]\n", b'{"event": "stage"}\n', b'{"event": "bytes", "stage": "build", "done": "x"}\n', b'{"event": 5}\n',
        b'{"event": "stage", "stage": "build", "state": "done"}\n', b'{"event": "message", "stage": "no", "text": 5}\n', b"\xff\n",
    ],
)  # fmt: skip
def test_events_of_a_box_are_not_trusted(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.LINES", line + LINES)
    ended, _ = _follow(_box([]), monkeypatch)
    assert ended.result == EVENTS[-1]
    assert follow.GIVE_UP_S > 60
