"""What the HTTP library's errors mean, in words that name the cause and hold no secret."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
from urllib3 import exceptions as theirs

from devenv.doors.http.faults import plain_reason, reading_fault, request_fault, retry_after_s, status_fault
from devenv.doors.http.partial_file import Again, Denied, Refused

_REFUSED = ConnectionRefusedError(111, "Connection refused")
_UNTRUSTED = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")


def _because(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def _connection(message: str, cause: Exception) -> Exception:
    return _because(theirs.NewConnectionError("HTTPConnection(host='h')", message), cause)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind", "words", "offline"),
    [
        (_connection("Failed", _REFUSED), Again, "cannot connect: [Errno 111] Connection refused", True),
        (
            _connection("Failed", socket.gaierror(-2, "Name or service not known")),
            Again, "cannot connect: [Errno -2] Name or service not known", True,
        ),
        (
            _because(theirs.ConnectTimeoutError("h", "Connection to h timed out."), TimeoutError("timed out")),
            Again, "cannot connect: timed out", True,
        ),
        (
            theirs.ProxyError("Unable to connect to proxy", OSError("Tunnel connection failed: 407 Proxy Login")),
            Again, "cannot connect: Tunnel connection failed: 407 Proxy Login", True,
        ),
        (theirs.SSLError(ssl.SSLError(1, "wrong version")), Again, "cannot connect: wrong version", True),
        (theirs.SSLError(_UNTRUSTED), Refused, "its certificate is not trusted here", True),
        (theirs.ReadTimeoutError(None, "/", "Read timed out."), Again, "no byte arrived for too long", False),  # type: ignore[arg-type]
        (
            theirs.ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer")),
            Again, "the connection broke: [Errno 104] Connection reset by peer", False,
        ),
        (theirs.LocationParseError("http://["), Refused, "cannot be used: Failed to parse", False),
        (ValueError("Invalid header value b'Bearer s3cret\\n'"), Refused, "cannot be used: a header for it", False),
    ],
)  # fmt: skip
def test_before_an_answer(error: Exception, kind: type[Again | Refused], words: str, offline: bool) -> None:
    fault = request_fault(error)
    assert isinstance(fault, kind)
    assert str(fault).startswith(words)
    assert fault.offline is offline
    assert "s3cret" not in str(fault)


def test_after_it_has_begun_every_failure_is_worth_another_try() -> None:
    broken = theirs.ProtocolError("Connection broken", theirs.IncompleteRead(5, 7))
    assert str(reading_fault(broken)) == "the connection broke: IncompleteRead(5 bytes read, 7 more expected)"
    assert not reading_fault(theirs.SSLError(_UNTRUSTED)).offline
    assert str(reading_fault(TimeoutError())) == "no byte arrived for too long"


@pytest.mark.parametrize(
    ("status", "kind", "more"),
    [
        (503, Again, {"wait_s": 7}), (416, Again, {}), (401, Denied, {"gone": False}), (404, Refused, {"gone": True}),
        (410, Refused, {"gone": True}), (400, Refused, {"gone": False}), (304, Refused, {"gone": False}),
    ],
)  # fmt: skip
def test_statuses(status: int, kind: type, more: dict[str, Any]) -> None:
    fault = status_fault(status, f"{status} Words", 7)
    assert type(fault) is kind
    assert {name: getattr(fault, name) for name in more} == more


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3), ("900", 60), ("", 0), ("soon", 0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Thu, 01 Jan 2970 00:00:00 GMT", 60)],
)  # fmt: skip
def test_how_long_a_server_asks_to_wait(text: str, seconds: float) -> None:
    assert retry_after_s(text, 60) == seconds


def test_why_a_hubs_client_got_no_answer() -> None:
    retries = theirs.MaxRetryError(None, "/api", _connection("Failed", _REFUSED))  # type: ignore[arg-type]
    assert plain_reason(OSError(retries)) == "Connection refused"
    text = (
        "_DownloadHTTPSConnectionPool(host='h', port=443): Max retries exceeded with url: /api (Caused by "
        "NameResolutionError(\"<_X object at 0x7f>: Failed to resolve 'h' ([Errno -2] Name or service not known)\"))"
    )
    assert plain_reason(OSError(text)) == "Name or service not known"
    assert plain_reason(OSError("X(…): Max retries exceeded (Caused by Y('timed out'))")) == "the connection timed out"
    assert plain_reason(OSError("X(…): Max retries exceeded")) == "no connection"
    assert plain_reason(ValueError("503 Server Error\nmore")) == "503 Server Error more"
