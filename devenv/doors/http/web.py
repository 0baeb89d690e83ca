"""The only door to the network for files: streamed, verified, resumed, tried again, source after source."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import random
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar
from urllib.parse import unquote, urlsplit

from devenv.doors import files
from devenv.doors.cancellation import Cancellation
from devenv.doors.http.partial_file import Again, Got, Partial, Refused, Stopped, Wanted
from devenv.doors.http.transport import Streaming, check_status, trust
from devenv.doors.settings.tool_configs import without_secret
from devenv.errors import FetchError

if TYPE_CHECKING:
    import httpx

    from devenv.doors.settings.settings import Settings

Channel = Literal["apt", "pip", "npm", "plain"]
"""Whose proxy and certificates a request uses."""

T = TypeVar("T")
_MOST_PAGE_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The number of tries, and the waits."""

    attempts: int = 5
    connect_timeout_s: float = 15
    read_timeout_s: float = 30
    backoff_s: float = 0.4
    longest_wait_s: float = 60
    redirects: int = 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One place that may have a file: an http(s) or file address."""

    url: str
    channel: Channel = "plain"
    headers: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A source that does not give the file. `gone`: it has no such file; `offline`: not reached;
    `passing`: it was tried several times, because the fault may pass."""

    url: str
    why: str
    gone: bool = False
    offline: bool = False
    passing: bool = False


class NowhereError(FetchError):
    """No source gives the file: `reasons` has the answer of each.

    `offline`: none could be reached; `gone`: every one answered that it has no such file.
    """

    def __init__(self, wanted: Wanted, reasons: tuple[Unusable, ...]) -> None:
        told = "\n".join(f"{without_secret(one.url)}: {one.why}" for one in reasons)
        offline = bool(reasons) and all(one.offline for one in reasons)
        super().__init__(
            f"cannot get {wanted.name}",
            detail=told or "no source is configured for it",
            hint="check the network, and the proxy and mirror settings; the downloaded data is kept"
            if offline
            else None,
        )
        self.wanted = wanted
        self.reasons = reasons
        self.offline = offline
        self.gone = bool(reasons) and all(one.gone for one in reasons)


class Web:
    """HTTP clients after the user's settings, shared by threads. `stop` ends all its work soon."""

    def __init__(self, settings: Settings, policy: Policy | None = None, cancel: Cancellation | None = None) -> None:
        self.policy = policy or Policy()
        self.cancel = cancel or Cancellation()
        self._ending = contextlib.ExitStack()
        self.stop = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._settings = settings
        self._clients: dict[Channel, httpx.Client] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        self._ending.enter_context(self.cancel.ending(self.halt))
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()
        with self._guard:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def halt(self) -> None:
        """End all work soon: no new try, and waiting readers are woken."""
        self.stop.set()
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def ask(self, origin: Origin) -> tuple[int, str]:
        """Send one request, without reading the body: (HTTP status, its Date header). Raises Again, Refused."""
        with self._stream(origin, {}) as answer:
            return answer.status_code, answer.headers.get("date", "")

    def page(self, origin: Origin) -> tuple[str, str, str]:
        """A small text: (text, final address, content type). Raises NowhereError."""
        path = _local(origin.url)
        if path is not None:
            try:
                return files.read_text(path, most_bytes=_MOST_PAGE_BYTES), origin.url, "text/html"
            except OSError as error:
                why = Unusable(url=origin.url, why=files.reason(error), gone=not path.exists())
                raise NowhereError(Wanted(name=origin.url), (why,)) from None

        def read(origin: Origin) -> tuple[str, str, str]:
            with self._stream(origin, {}) as answer:
                check_status(answer, self.policy.longest_wait_s)
                data = bytearray()
                for piece in answer.iter_bytes():
                    data += piece
                    if len(data) > _MOST_PAGE_BYTES:
                        raise Refused(f"its answer is larger than {_MOST_PAGE_BYTES >> 20} MB")
                text = data.decode(answer.encoding or "utf-8", errors="replace")
                return text, str(answer.url), answer.headers.get("content-type", "")

        return self._patiently(Wanted(name=without_secret(origin.url)), (origin,), read, lambda: 0)

    def download(
        self,
        wanted: Wanted,
        origins: Iterable[Origin | Unusable],
        part: Path,
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> Got:
        """Download the file to `part`, and resume an unfinished one; origins are tried in order.

        `on_bytes` gets every number of new bytes, and a negative one when bytes had to be removed.
        Raises NowhereError, FetchError (disk), Stopped. After success, `part` is verified.
        """
        file = Partial(wanted, part, on_bytes)
        try:
            return self._patiently(wanted, origins, lambda origin: self._attempt(file, origin), file.size)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise FetchError(
                f"cannot write {wanted.name}: {error.strerror or error}",
                where=str(part.parent),
                hint="free some space there (devenv prune), then run it again" if full else None,
            ) from None

    def _patiently(
        self,
        wanted: Wanted,
        origins: Iterable[Origin | Unusable],
        act: Callable[[Origin], T],
        reached: Callable[[], int],
    ) -> T:
        reasons: list[Unusable] = []
        for origin in origins:
            if isinstance(origin, Unusable):
                reasons.append(origin)
                continue
            tries, furthest = 0, reached()
            while True:
                if self.stop.is_set():
                    raise Stopped
                try:
                    return act(origin)
                except Refused as refused:
                    reasons.append(
                        Unusable(url=origin.url, why=str(refused), gone=refused.gone, offline=refused.offline)
                    )
                    break
                except Again as again:
                    now = reached()
                    # A source that gets further each time has no limit of tries; one that starts over each time has.
                    tries = 1 if now > furthest else tries + 1
                    furthest = max(furthest, now)
                    if tries >= self.policy.attempts:
                        why = f"{again} ({tries} times)" if tries > 1 else str(again)
                        reasons.append(Unusable(url=origin.url, why=why, offline=again.offline, passing=True))
                        break
                    backoff_s = self.policy.backoff_s * 2 ** (tries - 1) * random.uniform(0.75, 1.25)  # noqa: S311
                    self.stop.wait(min(max(backoff_s, again.wait_s), self.policy.longest_wait_s))
        raise NowhereError(wanted, tuple(reasons))

    def _attempt(self, file: Partial, origin: Origin) -> Got:
        path = _local(origin.url)
        if path is not None:
            file.copy(path, self.stop)
            return file.finish(origin.url, resumed=False)
        with file:
            have = file.size()
            if file.wanted.size_bytes is None or have < file.wanted.size_bytes:
                self._receive(file, origin, have)
        return file.finish(origin.url, resumed=have > 0)

    def _receive(self, file: Partial, origin: Origin, have: int) -> None:
        expected = file.wanted.size_bytes
        extra = {"Range": f"bytes={have}-"} if have else {}
        with self._stream(origin, {**extra, "Accept-Encoding": "identity"}) as answer:
            if answer.status_code == 416:
                file.restart()
                raise Again("it cannot resume the download")
            check_status(answer, self.policy.longest_wait_s)
            if answer.status_code == 206 and not answer.headers.get("content-range", "").startswith(f"bytes {have}-"):
                file.restart()
                raise Again("it sent another range than requested")
            if answer.status_code == 200 and have:
                file.restart()
                have = 0
            length = answer.headers.get("content-length", "")
            if expected is not None and length.isdigit() and have + int(length) != expected:
                file.restart()
                raise Refused(f"has another size: {have + int(length)} bytes, the lock has {expected}")
            for chunk in answer.iter_raw():  # no chunk size: it would hold bytes back, lost at a break
                if self.stop.is_set():
                    raise Stopped
                file.write(chunk)
                if expected is not None and file.size() > expected:
                    file.restart()
                    raise Refused(f"sends more than the {expected} bytes that the lock has")
        if expected is not None and file.size() < expected:
            raise Again(f"ended early, after {file.size()} of {expected} bytes")

    def _stream(self, origin: Origin, headers: dict[str, str]) -> Streaming:
        netrc = self._settings.pip.netrc if origin.channel == "pip" and not urlsplit(origin.url).username else None
        headers = {**headers, **dict(origin.headers)}
        return Streaming(self._client(origin.channel), origin.url, headers, netrc=netrc, sockets=self._sockets)

    def _client(self, channel: Channel) -> httpx.Client:
        import httpx

        proxies = {"pip": self._settings.pip.proxy, "npm": self._settings.npm.proxy, "apt": self._settings.apt_proxy}
        with self._guard:
            client = self._clients.get(channel)
            if client is None:
                try:
                    client = httpx.Client(
                        proxy=proxies.get(channel),
                        verify=trust(self._settings, channel),
                        follow_redirects=True,
                        max_redirects=self.policy.redirects,
                        timeout=httpx.Timeout(self.policy.read_timeout_s, connect=self.policy.connect_timeout_s),
                        limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
                        headers={"User-Agent": "devenv"},
                    )
                except (ImportError, ValueError) as error:
                    raise FetchError(
                        f"the proxy settings cannot be used: {error}", hint="see HTTPS_PROXY, ALL_PROXY"
                    ) from None
                self._clients[channel] = client
        return client


def _local(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(url) if not parts.scheme else None
