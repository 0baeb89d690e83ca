"""The failures of HTTP as Again or Refused; and the trusted certificates."""

from __future__ import annotations

import socket
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.doors.http.partial_file import Again, Refused
from devenv.errors import FetchError

if TYPE_CHECKING:
    import ssl

    import httpx

    from devenv.doors.settings.settings import Settings

_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}
_GONE = {404, 410}


class Streaming:
    """A streamed answer whose transport errors become Again or Refused."""

    def __init__(
        self,
        client: httpx.Client,
        url: str,
        headers: dict[str, str],
        *,
        netrc: Path | None,
        sockets: set[socket.socket],
    ) -> None:
        self._client = client
        self._url = url
        self._headers = headers
        self._netrc = netrc
        self._sockets = sockets
        self._socket: socket.socket | None = None
        self._answer: httpx.Response | None = None

    def __enter__(self) -> httpx.Response:
        import httpx

        try:
            request = self._client.build_request("GET", self._url, headers=self._headers)
            auth = _netrc_auth(self._netrc)
            self._answer = self._client.send(request, stream=True, auth=auth)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _transport(error) from None
        stream = self._answer.extensions.get("network_stream")
        self._socket = stream.get_extra_info("socket") if stream else None
        if self._socket is not None:
            self._sockets.add(self._socket)
        return self._answer

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        import httpx

        if self._socket is not None:
            self._sockets.discard(self._socket)
        if self._answer is not None:
            self._answer.close()
        if isinstance(error, httpx.HTTPError):
            raise _transport(error) from None


def check_status(answer: httpx.Response, longest_wait_s: float) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    why = f"{status} {answer.reason_phrase}".strip()
    if status in _WORTH_ANOTHER_TRY:
        raise Again(why, wait_s=retry_after_s(answer.headers.get("retry-after", ""), longest_wait_s))
    raise Refused(why, gone=status in _GONE)


def retry_after_s(text: str, longest_wait_s: float) -> float:
    if text.strip().isdigit():
        return min(float(text), longest_wait_s)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - time.time(), 0), longest_wait_s)
    except (TypeError, ValueError):
        return 0


def _transport(error: Exception) -> Again | Refused:
    import httpx

    text = str(error) or type(error).__name__
    if isinstance(error, httpx.TooManyRedirects):
        return Refused("redirects too many times")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return Refused(f"cannot be used: {text}")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return Refused("its certificate is not trusted here (for a private CA, set SSL_CERT_FILE)", offline=True)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return Again(f"cannot connect: {text}", offline=True)
    if isinstance(error, httpx.TimeoutException):
        return Again("no byte arrived for too long")
    return Again(f"the connection broke: {text}")


def trust(settings: Settings, channel: str) -> ssl.SSLContext:
    import ssl

    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    files = [settings.ca_bundle]
    if channel == "pip":
        files.append(settings.pip.cert)
    if channel == "npm":
        files.append(settings.npm.cafile)
    for file in dict.fromkeys(one for one in files if one is not None):
        try:
            context.load_verify_locations(cafile=file)
        except (OSError, ssl.SSLError) as error:
            raise FetchError(f"cannot use the CA bundle {file}: {error}") from None
    if channel == "npm" and settings.npm.ca:
        try:
            context.load_verify_locations(cadata=settings.npm.ca)
        except ssl.SSLError as error:
            raise FetchError(f"cannot use npm's 'ca' setting: {error}", hint="npm config get ca") from None
    return context


def _netrc_auth(path: Path | None) -> Any:
    """Logins from ~/.netrc; a file of another format is ignored, as curl does."""
    import netrc

    import httpx

    try:
        return httpx.NetRCAuth(str(path)) if path else httpx.USE_CLIENT_DEFAULT
    except (OSError, netrc.NetrcParseError):
        return httpx.USE_CLIENT_DEFAULT
