"""The failures of HTTP as Again or Refused."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime

from devenv.doors.http.partial_file import Again, Denied, Refused

_WORTH_ANOTHER_TRY = {408, 416, 425, 429, 500, 502, 503, 504}
_DENIED = {401, 403}
_GONE = {404, 410}


def status_fault(status: int, why: str, wait_s: float = 0) -> Again | Refused:
    """The meaning of a status without the file."""
    if status in _WORTH_ANOTHER_TRY:
        return Again(why, wait_s=wait_s)
    if status in _DENIED:
        return Denied(why)
    return Refused(why, gone=status in _GONE)


def retry_after_s(text: str, longest_wait_s: float) -> float:
    """The seconds that a Retry-After header asks for, as a number or a date."""
    if text.strip().isdigit():
        return min(float(text), longest_wait_s)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - time.time(), 0), longest_wait_s)
    except (TypeError, ValueError):
        return 0


def request_fault(error: Exception) -> Again | Refused:
    """The meaning of an error before any response."""
    from urllib3 import exceptions as theirs

    words = _words(error)
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return Refused("its certificate is not trusted here (for a private CA, set SSL_CERT_FILE)", offline=True)
    if isinstance(error, theirs.NewConnectionError | theirs.ConnectTimeoutError | theirs.ProxyError | theirs.SSLError):
        return Again(f"cannot connect: {words}", offline=True)
    if isinstance(error, ValueError):
        # Python's message contains the whole header, and so perhaps a token.
        return Refused("cannot be used: " + ("a header for it is invalid" if "header" in words else words))
    return reading_fault(error)


def reading_fault(error: Exception) -> Again:
    """The meaning of an error after a response had begun."""
    from urllib3 import exceptions as theirs

    if isinstance(error, theirs.TimeoutError | TimeoutError):
        return Again("no byte arrived for too long", silent=True)
    return Again(f"the connection broke: {_words(error)}")


def plain_reason(error: BaseException) -> str:
    """Why a hub's client got no answer, on one line: clients put the system's message into the text of their own
    error, behind the names of their classes."""
    text = " ".join(_words(error).split())
    if system := re.findall(r"\[Errno -?[0-9]+\] ([^'\"()\[\]]+)", text):
        return str(system[-1]).strip()
    if "Max retries exceeded" in text:
        return "the connection timed out" if "timed out" in text.lower() else "no connection"
    return text


def _words(error: BaseException) -> str:
    """The innermost reason, because the library wraps the system's message in its own."""
    while True:
        causes = (getattr(error, "reason", None), error.__cause__, *error.args)
        wrapped = (cause for cause in causes if isinstance(cause, BaseException))
        if (inner := next(wrapped, None)) is None:
            return str(error) or type(error).__name__
        error = inner
