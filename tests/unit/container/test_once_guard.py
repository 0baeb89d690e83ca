"""The first program of a container for one command."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.container import once_guard


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of the client's line that the client writes to."""
    inner, outer = os.pipe()
    kept = os.dup(0)
    os.dup2(inner, 0)
    os.close(inner)
    yield outer
    os.dup2(kept, 0)
    os.close(kept)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that were sent: (process, number)."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(once_guard.os, "kill", lambda pid, number: found.append((pid, number)))
    return found


@pytest.mark.parametrize(
    ("words", "asked", "signals"),
    [
        (b"done\n", None, []),
        (b"end\n", False, []),
        (b"", False, []),  # the client is gone
        (b"10\nend\n", False, []),  # it ended before it had begun
    ],
)
def test_a_word_ends_it(
    words: bytes, asked: bool | None, signals: list[int], line: int, sent: list[tuple[int, int]], tmp_path: Path
) -> None:
    os.write(line, words)
    os.close(line)
    assert once_guard.follow(str(tmp_path / "note")) is asked
    assert [number for _, number in sent] == signals


@pytest.mark.parametrize(("number", "asked"), [(signal.SIGUSR1, False), (signal.SIGTERM, True), (signal.SIGHUP, True)])
def test_a_signal_goes_to_the_command_alone(
    number: int, asked: bool, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "note"
    note.write_text("12\n")
    found: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        found.append((pid, number))
        os.close(line)

    monkeypatch.setattr(once_guard.os, "kill", kill)
    os.write(line, b"%d\n" % number)
    assert once_guard.follow(str(note)) is asked
    assert found == [(12, number)]


def test_a_signal_waits_for_a_command_that_has_not_begun(
    line: int, sent: list[tuple[int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([None, None, 12])
    monkeypatch.setattr(once_guard, "command", lambda _: next(looks))
    os.write(line, b"15\n")
    monkeypatch.setattr(once_guard, "send", lambda pids, number: (sent.append((pids[0], number)), os.close(line)))
    assert once_guard.follow(str(tmp_path)) is True
    assert sent == [(12, 15)]


@pytest.mark.parametrize(("asked", "first"), [(False, [signal.SIGTERM, signal.SIGCONT]), (True, [signal.SIGCONT])])
def test_what_is_left_gets_its_time(
    asked: bool, first: list[int], sent: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([*([7],) * len(first), [7], []])
    monkeypatch.setattr(once_guard, "others", lambda: next(looks))
    monkeypatch.setattr(once_guard.time, "sleep", lambda _: None)
    once_guard.end(asked=asked)
    assert [number for _, number in sent] == first


def test_half_a_number_is_no_command(tmp_path: Path) -> None:
    note = tmp_path / "note"
    assert once_guard.command(str(note)) is None
    note.write_text("12")
    assert once_guard.command(str(note)) is None
    note.write_text("12\n")
    assert once_guard.command(str(note)) == 12


def test_it_counts_every_other_process() -> None:
    found = once_guard.others()
    assert os.getppid() in found or os.getppid() == 1
    assert os.getpid() not in found
