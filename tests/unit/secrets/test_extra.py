"""The scanner of the field, where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from devenv.doors import kingfisher
from devenv.doors.kingfisher import Kingfisher, Match
from devenv.secrets import extra
from devenv.secrets.extra import ExtraScanner
from devenv.secrets.finding import Finding


class _Matcher:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def matches(self, path: str, data: bytes) -> tuple[Match, ...]:
        self.seen.append((path, len(data)))
        return (Match(rule="a.b", line=3),) * 2


def test_its_rules_become_findings() -> None:
    one = ExtraScanner(_Matcher())
    assert one.file("/a", [b"x", b"y"]) == (
        Finding(path="/a", kind="scanner", reason="the rule a.b of Kingfisher", line=3),
    )
    assert one.unread == ()


def test_only_the_beginning_of_a_large_file_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "MOST_BYTES", 100)
    matcher = _Matcher()
    one = ExtraScanner(matcher)
    one.file("/a", iter([b"x" * 60] * 1000))
    assert matcher.seen == [("/a", 100)]
    assert [unread.path for unread in one.unread] == ["/a"]


def test_the_door_asks_for_redacted_findings_and_keeps_the_rules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    class _Scanner:
        def __init__(self, rules: Any, **options: Any) -> None:
            asked.update(options, rules=rules)

        def scan_input(self, source: Any) -> list[Any]:
            place = {"line": 4}
            return [
                SimpleNamespace(visible=True, rule_id="r", location=place),
                SimpleNamespace(visible=False, rule_id="part", location=place),
            ]

    library = ModuleType("kingfisher_sdk")
    library.Scanner = _Scanner  # type: ignore[attr-defined]
    library.Rules = lambda **options: options  # type: ignore[attr-defined]
    library.ScanInput = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kingfisher_sdk", library)
    assert Kingfisher(tmp_path / "rules").matches("/a", b"x") == (Match(rule="r", line=4),)
    assert asked == {"redact": True, "rules": {"cache_dir": str(tmp_path / "rules")}}
    assert (tmp_path / "rules").stat().st_mode & 0o777 == 0o700


def test_it_says_whether_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kingfisher, "find_spec", lambda _: None)
    assert not kingfisher.is_installed()
