"""Connections to hosts and proxies, kept open and shared by threads: a request, its redirects, its response."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import socket
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from devenv.doors.http.faults import reading_fault, request_fault, retry_after_s, status_fault
from devenv.doors.http.partial_file import Again, Refused, Stopped
from devenv.doors.http.retry import Policy
from devenv.doors.once import Once

if TYPE_CHECKING:
    import ssl

IMPORTING = threading.Lock()
"""Held while urllib3 is imported for the first time: two threads that begin at different parts of it may each get the
other's half made."""
READ_BYTES = 1 << 20
"""The most bytes to read at once; a read returns what has arrived. A kill loses no more than this for each
connection, and on a slow one next to nothing."""
_MOVED = {301, 302, 303, 307, 308}
_MOVED_WITH_BODY = {307, 308}
_MOST_LEFT_BYTES = 1 << 16
_PORTS = {"http": 80, "https": 443}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `own`: headers that only the host of `home` may see, or of `url`.

    `body`: bytes, or a function that gives them in pieces, called again for a redirect; `headers` then have its length.
    `patience_s`: how long to wait for the answer, where it is not the policy's time.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    own: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    home: str | None = None
    body: bytes | Callable[[], Iterable[bytes]] | None = dataclasses.field(default=None, repr=False)
    moves: bool = True
    """Whether redirects are followed."""
    patience_s: float | None = None


class Answer:
    """The answer to a request. `url`: the final address. `read` gives the body in pieces."""

    def __init__(self, raw: Any, url: str, stop: threading.Event) -> None:
        self.status: int = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self.url = url
        self._raw = raw
        self._stop = stop

    @property
    def why(self) -> str:
        """The status in words."""
        return f"{self.status} {self._raw.reason or ''}".strip()

    def fault(self, longest_wait_s: float) -> Again | Refused:
        """What its status means, when it is not that of the file."""
        return status_fault(self.status, self.why, self.wait_s(longest_wait_s))

    def wait_s(self, longest_wait_s: float) -> float:
        """How long the server asks to wait."""
        return retry_after_s(self.headers.get("retry-after", ""), longest_wait_s)

    @property
    def has_known_length(self) -> bool:
        """Whether the length of the body is known without reading it."""
        return self._raw.length_remaining is not None

    def read(self, *, decoded: bool = False) -> bytes:
        """The bytes that have arrived, as they were sent or decompressed; none at the end. Raises Again, Stopped."""
        from urllib3.exceptions import HTTPError

        try:
            piece: bytes = self._raw.read1(READ_BYTES, decode_content=decoded) or b""
        except (HTTPError, OSError, ValueError) as error:
            if self._stop.is_set():
                raise Stopped from None
            raise reading_fault(error) from None
        if self._stop.is_set():
            raise Stopped
        return piece

    def pieces(self) -> Iterator[bytes]:
        """The body as it was sent, to its end. Raises as `read`."""
        return iter(self.read, b"")

    def shutdown(self) -> None:
        """Wake the thread that reads."""
        with contextlib.suppress(Exception):
            self._raw.shutdown()

    def close(self) -> None:
        """Keep the connection when the body was read to its end, and drop it otherwise."""
        self._raw.close()

    def release(self) -> None:
        """Keep the connection when the body's rest is short."""
        from urllib3.exceptions import HTTPError

        with contextlib.suppress(HTTPError, OSError, ValueError):
            self._raw.read(_MOST_LEFT_BYTES)
        self.close()


class Connections:
    """`context`: what they trust. `proxy`: for every host; where it is None, the environment names proxies, unless
    `direct`. `strict`: no redirect leads from TLS to plain http.

    `stop` ends all its work soon; `halt` wakes those that send, wait or read.
    """

    def __init__(
        self, policy: Policy, context: Callable[[], ssl.SSLContext], stop: threading.Event, proxy: str | None = None,
        *, direct: bool = False, strict: bool = False,
    ) -> None:  # fmt: skip
        self._policy = policy
        self._context = context
        self._stop = stop
        self._proxy = proxy
        self._direct = direct
        self._strict = strict
        self._managers = Once[str | None, Any]()
        self._by_host = Once[str, tuple[bool, Any]]()
        self._open: set[Answer] = set()
        self._sockets = weakref.WeakSet[socket.socket]()
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def get(
        self, url: str, headers: Mapping[str, str], own: Mapping[str, str] | None = None, *, home: str | None = None
    ) -> Iterator[Answer]:
        """The answer to a GET, redirects followed. `own`: headers that only the host of `home` may see, or of `url`.

        Raises Again, Refused, Stopped.
        """
        with self.ask(Request(url=url, headers=headers, own=own or {}, home=home)) as answer:
            yield answer

    @contextlib.contextmanager
    def ask(self, request: Request) -> Iterator[Answer]:
        """The answer to a request, redirects followed: of one with a body, only those that keep it.

        Raises Again, Refused, Stopped.
        """
        answer = self._final(request)
        self._open.add(answer)
        try:
            if self._stop.is_set():
                raise Stopped
            yield answer
        finally:
            self._open.discard(answer)
            answer.close()

    def halt(self) -> None:
        """Wake the threads that send, wait for an answer, or read one."""
        for answer in tuple(self._open):
            answer.shutdown()
        with self._guard:
            sockets = tuple(self._sockets)
        for one in sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(
                    one, socket.SHUT_RDWR
                )  # on the plain socket, because another thread may use the TLS layer

    def close(self) -> None:
        """Close the kept connections."""
        for manager in self._managers.made():
            manager.clear()

    def _final(self, request: Request) -> Answer:
        with IMPORTING:
            from urllib3.exceptions import HTTPError

        url, own, home = request.url, request.own, request.home or request.url
        moved = _MOVED if request.method in ("GET", "HEAD") else _MOVED_WITH_BODY
        for _ in range(self._policy.redirects + 1):
            if self._stop.is_set():
                raise Stopped
            mine = own if own and (url is home or same_host(url, home)) else {}
            try:
                raw = self._send(request, url, {"User-Agent": "devenv", **request.headers, **mine})
            except (HTTPError, OSError, ValueError) as error:
                raise request_fault(error) from None
            answer = Answer(raw, url, self._stop)
            location = answer.headers.get("location")
            if answer.status not in moved or not location or not request.moves:
                return answer
            answer.release()
            secure, url = url.startswith("https:"), _target(url, location)
            if self._strict and secure and not url.startswith("https:"):
                raise Refused("redirects from TLS to plain http")
        raise Refused("redirects too many times")

    def _send(self, request: Request, url: str, headers: Mapping[str, str]) -> Any:
        how: dict[str, Any] = {"redirect": False, "retries": False, "preload_content": False, "decode_content": False}
        if request.body is not None:
            how["body"] = self._stoppable(request.body) if callable(request.body) else request.body
        if request.patience_s is not None:
            how["timeout"] = self._timeout(request.patience_s)
        host, path = _split(url)
        direct, pool = self._by_host.get(host, lambda: self._connections(host))
        if direct:  # without the manager, which costs as much as the request itself
            return pool.urlopen(request.method, path, headers=headers, assert_same_host=False, **how)
        return pool.request(request.method, host + path, headers=headers, **how)

    def _stoppable(self, body: Callable[[], Iterable[bytes]]) -> Iterator[bytes]:
        for piece in body():
            if self._stop.is_set():
                raise Stopped
            yield piece

    def _timeout(self, read_s: float) -> Any:
        import urllib3

        return urllib3.Timeout(connect=self._policy.connect_timeout_s, read=read_s)

    def _connections(self, host: str) -> tuple[bool, Any]:
        """Whether a host is reached directly, and the connections to it, or to its proxy."""
        proxy = self._proxy or (None if self._direct else _proxy_of_the_environment(urlsplit(host)))
        manager = self._managers.get(proxy, lambda: self._manager(proxy))
        return proxy is None, manager.connection_from_url(host) if proxy is None else manager

    def _manager(self, proxy: str | None) -> Any:
        import urllib3

        context = self._context()
        options: dict[str, Any] = {
            "num_pools": 16,
            "maxsize": 64,
            "timeout": self._timeout(self._policy.read_timeout_s),
            "ssl_context": context,
            "socket_options": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        }
        if proxy is None:
            manager = urllib3.PoolManager(**options)
        else:
            address, headers = _proxy_address(proxy)
            manager = urllib3.ProxyManager(address, proxy_headers=headers, proxy_ssl_context=context, **options)
        kinds: dict[str, Any] = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {
            scheme: type(kind.__name__, (kind,), {"ConnectionCls": self._noted(kind.ConnectionCls)})
            for scheme, kind in kinds.items()
        }
        return manager

    def _noted(self, kind: Any) -> Any:
        """A class of connections that registers its sockets, so that `halt` finds them."""
        guard, sockets = self._guard, self._sockets

        class Noted(kind):  # type: ignore[misc]
            def connect(self) -> None:
                super().connect()
                with guard:
                    sockets.add(self.sock)

        return Noted


def login(url: str) -> dict[str, str]:
    """The login in an address, as a header."""
    parts = urlsplit(url)
    return basic(unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else {}


def basic(name: str, password: str) -> dict[str, str]:
    """A login as a header."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def _split(url: str) -> tuple[str, str]:
    """Scheme, host and port; and the rest, for the server. Without a login and a fragment, which go to no server."""
    scheme, _, rest = url.partition("://")
    at = min((n for mark in "/?#" if (n := rest.find(mark)) >= 0), default=len(rest))
    host, path = rest[:at].rpartition("@")[2], rest[at:].partition("#")[0]
    return f"{scheme}://{host}", path if path.startswith("/") else f"/{path}"


def same_host(url: str, home: str) -> bool:
    """Whether a secret for `home` may go to `url`: to the same port, or to TLS where `home` has none."""
    parts, homes = urlsplit(url), urlsplit(home)
    ports = [one.port or _PORTS.get(one.scheme) for one in (parts, homes)]
    if parts.hostname != homes.hostname:
        return False
    if parts.scheme == homes.scheme:
        return ports[0] == ports[1]
    return (homes.scheme, parts.scheme, ports) == ("http", "https", [443, 80])


def _target(url: str, location: str) -> str:
    """Where a redirect leads. Raises Refused."""
    try:
        target = urljoin(url, _text(location))
        scheme = urlsplit(target).scheme
    except ValueError:
        raise Refused("redirects to an invalid address") from None
    if scheme not in _PORTS:
        raise Refused(f"redirects to an address that cannot be used: {scheme}")
    return target


def _text(location: str) -> str:
    """http.client reads headers as latin-1; servers that do not quote write UTF-8."""
    with contextlib.suppress(UnicodeError):
        return location.encode("latin-1").decode()
    return location


def _proxy_of_the_environment(host: SplitResult) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(host.scheme) or proxies.get("all")
    bypassed = proxy is not None and any(proxy_bypass(one) for one in (host.netloc, host.hostname or ""))
    return None if bypassed else proxy


def _proxy_address(proxy: str) -> tuple[str, dict[str, str]]:
    """A proxy's address, and its login as a header. Raises Refused."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in _PORTS:
        raise Refused(
            f"a {parts.scheme} proxy cannot be used; name an http one in HTTPS_PROXY or ALL_PROXY", offline=True
        )
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError:  # the message may contain the password
        raise Refused("the proxy's address is invalid; correct HTTPS_PROXY or ALL_PROXY", offline=True) from None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    headers = {f"Proxy-{name}": value for name, value in login(parts.geturl()).items()}
    return f"{parts.scheme}://{host}:{port}", headers
