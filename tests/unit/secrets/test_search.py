"""One judgement of a file for all that would carry it away."""

from __future__ import annotations

from collections.abc import Iterator

from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import Scanner
from devenv.secrets.search import search, secret_path


def _unread() -> Iterator[bytes]:
    raise AssertionError("the path decides")
    yield b""


def test_the_path_decides_first_and_then_the_content() -> None:
    scanner = Scanner(KnownValues())
    (found,) = search(scanner, "/srv/app/.env", _unread())
    assert found.kind == "environment-file"
    key = b"-----BEGIN OPENSSH " + b"PRIVATE KEY-----\n" + b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmU" * 20
    assert search(scanner, "/srv/app/notes", [key])
    assert search(scanner, "/srv/app/notes", [b"hello"]) == ()
    assert search(scanner, "/srv/app/.env", _unread(), "folder") == ()


def test_caches_and_logs_are_no_secrets_by_their_path() -> None:
    assert secret_path("/var/log/x.log") is None
    assert secret_path("/home/dev/.netrc") is not None
