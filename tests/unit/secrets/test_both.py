"""Both scanners in one pass, where the second is installed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from devenv.doors import kingfisher
from devenv.errors import ShareError
from devenv.secrets import both, extra
from devenv.secrets.both import Both, scanner_for
from devenv.secrets.extra import ExtraScanner
from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import Scanner
from devenv.snapshot import take
from tests.unit.snapshot.made import added, spooled

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4xZ7cF0rL3yU6"


class _Library(ModuleType):
    """The package: it finds the word SECOND, and keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__("kingfisher_sdk")
        self.seen: list[tuple[str, bytes]] = []

    def Rules(self, **_: Any) -> str:
        return "rules"

    def Scanner(self, *_: Any, **__: Any) -> Any:
        return self

    def ScanInput(self, *, path: str, data: bytes) -> Any:
        self.seen.append((path, data))
        return data

    def scan_input(self, data: bytes) -> list[Any]:
        found = SimpleNamespace(visible=True, rule_id="made.1", location={"line": 1})
        return [found] if b"SECOND" in data else []


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> _Library:
    made = _Library()
    monkeypatch.setitem(sys.modules, "kingfisher_sdk", made)
    monkeypatch.setattr(kingfisher, "is_installed", lambda: True)
    return made


def test_without_the_package_ours_is_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kingfisher, "is_installed", lambda: False)
    assert isinstance(scanner_for(KnownValues(), tmp_path), Scanner)


def test_a_snapshot_is_refused_for_what_the_second_alone_finds(library: _Library, tmp_path: Path) -> None:
    contents = {"/home/dev/a": b"plain", "/home/dev/b": b"a SECOND secret"}
    given = take._contents(
        [added(path, content=data) for path, data in contents.items()], spooled(contents), tmp_path, ()
    )
    with pytest.raises(ShareError) as caught:
        take._check(given, (), scanner_for(KnownValues(), tmp_path))
    assert caught.value.detail == "/home/dev/b:1: scanner: the rule made.1 of Kingfisher"
    assert library.seen == [*contents.items()]


def test_the_second_is_not_asked_where_ours_found_something(library: _Library, tmp_path: Path) -> None:
    (found,) = scanner_for(KnownValues(), tmp_path).file("/a", [f"x = '{TOKEN}' SECOND".encode()])
    assert (found.kind, library.seen) == ("github-token", [])


def test_both_see_the_whole_of_a_file_that_comes_once(library: _Library, tmp_path: Path) -> None:
    chunks = iter([b"one ", b"two ", b"SECOND"])
    assert scanner_for(KnownValues(), tmp_path).file("/a", chunks)
    assert library.seen == [("/a", b"one two SECOND")]


def test_no_more_is_held_than_the_second_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    class _Matcher:
        def matches(self, path: str, data: bytes) -> tuple[Any, ...]:
            held.append(len(data))
            return ()

    monkeypatch.setattr(extra, "MOST_BYTES", 100)
    monkeypatch.setattr(both, "MOST_BYTES", 100)
    one = Both(Scanner(KnownValues()), ExtraScanner(_Matcher()))
    assert one.file("/a", iter([b"x" * 60] * 1000)) == ()
    assert held == [100]
    assert [unread.path for unread in one.unread] == ["/a"]
