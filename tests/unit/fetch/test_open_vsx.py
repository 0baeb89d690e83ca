"""What a registry of extensions may answer: nothing of it gets further than it should."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from devenv.doors.http.web import Origin, Web
from devenv.errors import FetchError
from devenv.fetch.open_vsx import OpenVsx

GOOD = {
    "namespace": "a", "name": "b", "version": "1.2.3", "targetPlatform": "linux-x64", "engines": {"vscode": "^1.90.0"},
    "files": {"download": "https://host/a.b-1.2.3.vsix", "sha256": "https://host/a.b-1.2.3.sha256"},
}  # fmt: skip


class Answers:
    """In the place of the network: one text for every request."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[Origin] = []

    def page(self, origin: Origin) -> tuple[str, str, str]:
        self.asked.append(origin)
        return self.text, origin.url, "application/json"


def _client(answer: Any, registry: str = "https://host") -> tuple[OpenVsx, Answers]:
    answers = Answers(answer if isinstance(answer, str) else json.dumps(answer))
    return OpenVsx(registry, cast("Web", answers)), answers


def _found(**changes: Any) -> tuple[Any, ...]:
    return _client({"totalSize": 1, "extensions": [{**GOOD, **changes}]})[0].exact("A.B", "1.2.3")


def test_a_good_answer() -> None:
    (one,) = _found()
    assert (one.id, one.version, one.platform, one.engine, one.pre_release) == (
        "a.b",
        "1.2.3",
        "linux-x64",
        "^1.90.0",
        False,
    )
    assert _found(targetPlatform="universal", preRelease=True)[0].pre_release
    assert _found(engines=None)[0].engine == "*"
    assert _found(files={"download": "http://host/x"})[0].sha256 is None


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace": "other"}, {"name": "b/../c"}, {"namespace": None}, {"version": "9.9.9"}, {"version": "../1.2.3"},
        {"version": 3}, {"targetPlatform": "plan9"}, {"targetPlatform": ["web"]}, {"files": None}, {"files": {}},
        {"files": {"download": "file:///etc/passwd"}}, {"files": {"download": "/etc/passwd"}},
        {"files": {"download": "ftp://host/x"}}, {"files": {"download": "https://me:you@host/x"}},
        {"files": {"download": "https:///x"}}, {"files": {"download": "https://host/\x1b[31m"}},
        {"files": {"download": "https://host:99999/x"}}, {"files": {"download": "https://[/x"}},
        {"files": {"download": 3}}, {"files": {"download": "https://host/" + "x" * 3000}},
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_used_is_none(changes: dict[str, Any]) -> None:
    assert _found(**changes) == ()


@pytest.mark.parametrize(
    "answer", ["<html>", "", "[]", "3", "{}", '{"extensions": 3}', "[" * 100_000, '{"error": "x"}']
)
def test_what_is_no_answer_of_a_registry(answer: str) -> None:
    with pytest.raises(FetchError, match="https://host does not answer as a registry of extensions") as caught:
        _client(answer, "https://me:secret@host")[0].newest("a.b")
    assert "secret" not in str(caught.value)


def test_entries_that_are_no_objects_and_totals_that_are_no_numbers() -> None:
    assert _client({"totalSize": "many", "extensions": [3, None, GOOD]})[0].newest("a.b")[0].version == "1.2.3"


def test_a_registry_that_never_ends() -> None:
    client, answers = _client({"totalSize": 10**9, "extensions": []})
    assert list(client.builds("a.b", "universal")) == []
    assert len(answers.asked) == 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ab" * 32, "ab" * 32), ("AB" * 32 + "  a.b-1.2.3.vsix\n", "ab" * 32), ("", None), ("ab", None), ("x" * 64, None)],
)
def test_the_sha256_document(text: str, expected: str | None) -> None:
    (build,) = _found()
    assert _client(text)[0].hash(build) == expected


def test_a_sha256_without_tls_is_not_that_of_a_registry_with_tls() -> None:
    (build,) = _found(files={**GOOD["files"], "sha256": "http://host/x.sha256"})  # type: ignore[dict-item]
    assert _client("ab" * 32)[0].hash(build) is None
    assert _client("ab" * 32, "http://host")[0].hash(build) == "ab" * 32


def test_a_login_is_for_the_registrys_own_host() -> None:
    client, _ = _client("", "https://me:secret@host/x")
    assert client.place("https://host/file").headers
    for other in ("https://host.example/file", "https://host:444/file", "http://host/file", "https://evil/@host"):
        assert client.place(other).headers == ()


def test_near_names_are_checked_before_they_are_shown() -> None:
    rows = [
        {"namespace": "acme", "name": "tool"},
        {"namespace": "\x1b[31m", "name": "tol"},
        {"namespace": "zz", "name": "zz"},
    ]
    assert _client({"extensions": rows})[0].near("acme.tol") == ("acme.tool",)
    assert _client("<html>")[0].near("acme.tol") == ()
