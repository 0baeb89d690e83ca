from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.container import exec_guard

HUP, INT, TERM = (1 << (one - 1) for one in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))


@pytest.mark.parametrize(
    ("mask", "own", "told"),
    [
        (0, 0, False),
        (HUP, 0, True),
        (HUP | INT, 0, True),
        (HUP | TERM, 0, False),  # stubborn, not detached
        (INT, 0, False),
        (HUP, HUP, False),  # all that the engine starts looks like this
    ],
)
def test_what_nohup_left_is_told_from_the_stubborn(mask: int, own: int, told: bool) -> None:
    assert exec_guard.detached(mask, own) is told


def test_the_command_is_known_once_it_has_written_its_whole_number(tmp_path: Path) -> None:
    note = tmp_path / "note"
    assert exec_guard.leader(str(note)) is None
    note.write_text("12")
    assert exec_guard.leader(str(note)) is None
    note.write_text(f"{os.getpid()}\n")
    found = exec_guard.leader(str(note))
    assert found is not None
    assert (found.pid, found.began) == (os.getpid(), exec_guard.look(os.getpid())[3])


def test_a_number_that_another_process_has_by_now_is_nobodys() -> None:
    sid = os.getsid(0)
    assert os.getpid() in exec_guard.members(exec_guard.Leader(sid, "", False))
    assert exec_guard.members(exec_guard.Leader(os.getpid(), "an earlier time", False)) == []


@pytest.mark.parametrize(
    ("word", "terminal", "first"),
    [("", False, signal.SIGTERM), ("INT", False, signal.SIGINT), ("TERM", False, signal.SIGTERM),
     ("", True, signal.SIGHUP), ("TERM", True, signal.SIGHUP)],
)  # fmt: skip
def test_what_does_not_listen_is_killed(word: str, terminal: bool, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(exec_guard, "members", lambda *_, **__: [] if signal.SIGKILL in sent else [7])
    monkeypatch.setattr(exec_guard, "GRACE_S", 0.0)
    monkeypatch.setattr(exec_guard.os, "kill", lambda _, number: sent.append(number))
    exec_guard.end(exec_guard.Leader(7, "", terminal), word)
    assert sent == [first, signal.SIGCONT, signal.SIGKILL]


@pytest.mark.parametrize(
    ("words", "ended"), [([b"done\n"], None), ([b"do", b"ne\n", b""], None), ([b""], ""), ([b"INT\n", b""], "INT")]
)
def test_only_a_client_that_says_nothing_or_stops_ends_the_command(
    words: list[bytes], ended: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "note"
    note.write_text(f"{os.getpid()}\n")
    coming: Iterator[bytes] = iter(words)
    seen: list[str] = []
    monkeypatch.setattr(exec_guard.select, "select", lambda *_: ([0], [], []))
    monkeypatch.setattr(exec_guard.os, "read", lambda *_: next(coming))
    monkeypatch.setattr(exec_guard, "end", lambda _, word: seen.append(word))
    exec_guard.main(str(note))
    assert seen == ([] if ended is None else [ended])
    assert not note.exists()


def test_a_client_that_was_gone_before_the_command_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_guard.select, "select", lambda *_: ([0], [], []))
    monkeypatch.setattr(exec_guard.os, "read", lambda *_: b"")
    monkeypatch.setattr(exec_guard, "BEGIN_S", 0.0)
    exec_guard.main(str(tmp_path / "note"))


@pytest.mark.parametrize(("word", "every"), [("", False), ("INT", True), ("TERM", True)])
def test_a_command_under_nohup_minds_a_signal_but_no_hangup(
    word: str, every: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(exec_guard, "ignored", lambda _: HUP)

    def members(_: exec_guard.Leader, *, every: bool) -> list[int]:
        asked.append(every)
        return []

    monkeypatch.setattr(exec_guard, "members", members)
    exec_guard.end(exec_guard.Leader(7, "", False), word)
    assert set(asked) == {every}
