"""Parts of large files, and many small ones, over kept connections: one request for each range of bytes.

`web.py` brings whole files one by one through httpx. Weights are larger and more numerous: urllib3 costs a fraction of
that per request, and its reads hand over what has arrived without a copy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from devenv.doors.http.partial_file import Again, Refused, Stopped
from devenv.doors.http.transport import retry_after_s, trust
from devenv.doors.http.web import Policy

if TYPE_CHECKING:
    from devenv.doors.settings.settings import Settings

READ_BYTES = 1 << 20
"""The most bytes to read at once; a read returns what has arrived. A kill loses no more than this for each
connection, and on a slow one next to nothing."""
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_MOVED = {301, 302, 303, 307, 308}
_TRICKLE_S = 15.0


class Denied(Refused):
    """401 or 403: the user's rights, not the network."""


class NoRanges(Again):
    """This server sends whole files only."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address, and headers that only its own host may see."""

    url: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)


class Ranges:
    """Shared by threads. `stop` ends all its work soon."""

    def __init__(self, settings: Settings, policy: Policy | None = None, *, slowest_bytes_s: float = 1000) -> None:
        self.policy = policy or Policy(attempts=4, connect_timeout_s=10)
        self.slowest_bytes_s = slowest_bytes_s
        self.trickle_s = _TRICKLE_S
        self.stop = threading.Event()
        self._settings = settings
        self._pools: dict[str | None, Any] = {}
        self._by_host: dict[str, tuple[bool, Any]] = {}
        self._final: dict[str, str] = {}
        self._open: set[Any] = set()
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools.values():
            pool.clear()

    def halt(self) -> None:
        """End all work soon; waiting readers are woken."""
        self.stop.set()
        for one in list(self._open):
            with contextlib.suppress(Exception):
                one.shutdown()

    def read(self, place: Place, start: int, end: int, size: int, take: Callable[[int, bytes], None]) -> None:
        """Bytes `start` to `end` (exclusive) of a file of `size` bytes: `take(offset, bytes)` gets them as they come.

        Raises Refused (Denied), Again (NoRanges), Stopped, and what `take` raises.
        """
        whole = start == 0 and end == size
        headers = {"Accept-Encoding": "identity", **({} if whole else {"Range": f"bytes={start}-{end - 1}"})}
        answer = self._ask(place, headers)
        done = False
        try:
            self._begin(answer, start, end, size)
            self._stream(answer, start, end, take)
            done = True
        finally:
            self._open.discard(answer)
            if done:
                answer.release_conn()
            else:
                answer.close()

    def _begin(self, answer: Any, start: int, end: int, size: int) -> None:
        """Check an answer before any of its bytes is used."""
        length = answer.headers.get("content-length", "")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise Refused("sends a compressed copy instead of the file")
        if answer.status == 206:
            told = answer.headers.get("content-range", "")
            if not told.startswith(f"bytes {start}-"):
                raise Again("it sent another range than requested")
            total = told.rpartition("/")[2]
            if total.isdigit() and int(total) != size:
                raise Refused(f"has another size: {total} bytes, the lock has {size}")
            return
        if length.isdigit() and int(length) != size:
            raise Refused(f"has another size: {length} bytes, the lock has {size}")
        if (start, end) != (0, size):
            raise NoRanges("sends whole files only")

    def _stream(self, answer: Any, offset: int, end: int, take: Callable[[int, bytes], None]) -> None:
        """Pass on the body, to its end."""
        from urllib3.exceptions import HTTPError

        began, since = time.monotonic(), offset
        while offset < end:
            try:
                chunk = answer.read1(READ_BYTES)
            except (HTTPError, OSError, ValueError) as error:
                raise _broken(error) from None
            if self.stop.is_set():
                raise Stopped
            if not chunk:
                raise Again(f"ended early, after {offset} of {end} bytes")
            if offset + len(chunk) > end:
                raise Refused("sends more bytes than the lock has")
            take(offset, chunk)
            offset += len(chunk)
            now = time.monotonic()
            if now - began > self.trickle_s:
                if (offset - since) / (now - began) < self.slowest_bytes_s:
                    raise Again(f"is too slow: {(offset - since) / (now - began):.0f} bytes/s", slow=True)
                began, since = now, offset
        # Without a length, only a further read finds the end.
        if answer.length_remaining is None and answer.read1(1):
            raise Refused("sends more bytes than the lock has")

    def _ask(self, place: Place, headers: dict[str, str]) -> Any:
        """GET, redirects followed; headers for the hub's own host go to no other."""
        from urllib3.exceptions import HTTPError

        if self.stop.is_set():
            raise Stopped
        url = self._final.get(place.url) or place.url
        home = _host(place.url)
        for _ in range(self.policy.redirects):
            own = place.headers if url is place.url or _host(url) == home else {}
            try:
                answer = self._get(url, {"User-Agent": "devenv", **own, **headers})
            except (HTTPError, OSError, ValueError) as error:
                raise _broken(error) from None
            self._open.add(answer)
            if answer.status in (200, 206):
                if url != place.url:
                    self._final[place.url] = url
                return answer
            self._open.discard(answer)
            location = answer.headers.get("location")
            retry_after = answer.headers.get("retry-after", "")
            answer.drain_conn()
            answer.release_conn()
            if answer.status in _MOVED and location:
                url = urljoin(url, location)
                if urlsplit(url).scheme not in ("http", "https"):
                    raise Refused(f"redirects to an address that cannot be used: {urlsplit(url).scheme}")
                continue
            why = f"{answer.status} {answer.reason or ''}".strip()
            if url != place.url:
                # A signed address has expired or its host fails: ask the hub for a new one.
                self._final.pop(place.url, None)
                raise Again(f"{why}, from the address it redirects to", wait_s=self._wait(retry_after))
            raise self._status(answer.status, why, retry_after)
        raise Refused("redirects too many times")

    def _status(self, status: int, why: str, retry_after: str) -> Again | Refused:
        if status in _AGAIN or status == 416:
            return Again(why, wait_s=self._wait(retry_after))
        if status in (401, 403):
            return Denied(why)
        return Refused(why, gone=status in (404, 410))

    def _wait(self, retry_after: str) -> float:
        return retry_after_s(retry_after, self.policy.longest_wait_s)

    def _get(self, url: str, headers: dict[str, str]) -> Any:
        how = {"redirect": False, "retries": False, "preload_content": False, "decode_content": False}
        host = _host(url)
        with self._guard:
            if host not in self._by_host:
                self._by_host[host] = self._connections(url)
            direct, pool = self._by_host[host]
        if direct:  # without the manager, which costs as much as the request itself
            return pool.urlopen("GET", url[url.index("/", 8) :], headers=headers, assert_same_host=False, **how)
        return pool.request("GET", url, headers=headers, **how)

    def _connections(self, url: str) -> tuple[bool, Any]:
        """Whether a host is reached directly, and the connections to it, or to its proxy."""
        parts = urlsplit(url)
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if proxy is not None and proxy_bypass(parts.netloc):
            proxy = None
        if proxy not in self._pools:
            self._pools[proxy] = self._new_pool(proxy)
        pool = self._pools[proxy]
        return proxy is None, pool.connection_from_url(url) if proxy is None else pool

    def _new_pool(self, proxy: str | None) -> Any:
        import urllib3
        from urllib3.util import make_headers

        options: dict[str, Any] = {
            "num_pools": 16,
            "maxsize": 64,
            "timeout": urllib3.Timeout(connect=self.policy.connect_timeout_s, read=self.policy.read_timeout_s),
            "ssl_context": trust(self._settings, "plain"),
            "socket_options": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        }
        if proxy is None:
            return urllib3.PoolManager(**options)
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if parts.scheme not in ("http", "https"):
            raise Refused(f"a {parts.scheme} proxy cannot be used for weights; name an http one", offline=True)
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        address = f"{parts.scheme}://{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        return urllib3.ProxyManager(address, proxy_headers=make_headers(proxy_basic_auth=login), **options)


def _host(url: str) -> str:
    """Scheme, host and port; an explicit default port counts as another host, which only costs a header."""
    return url[:end] if (end := url.find("/", 8)) > 0 else url


def _broken(error: Exception) -> Again | Refused:
    from urllib3 import exceptions as theirs

    if isinstance(error, Again | Refused):
        return error
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return Refused("its certificate is not trusted here (for a private CA, set SSL_CERT_FILE)", offline=True)
    if isinstance(error, theirs.LocationValueError | theirs.UnrewindableBodyError | ValueError):
        return Refused(f"cannot be used: {text}")
    if isinstance(error, theirs.NewConnectionError | theirs.ConnectTimeoutError | theirs.ProxyError):
        return Again("cannot connect", offline=True)
    if isinstance(error, theirs.TimeoutError | TimeoutError):
        return Again("no byte arrived for too long")
    if isinstance(error, theirs.HTTPError | OSError):
        return Again(f"the connection broke: {type(error).__name__}")
    raise error
