"""The only door to the network for files: streamed, verified, resumed, tried again, source after source."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import unquote, urlsplit

from devenv.doors import files
from devenv.doors.cancellation import Cancellation
from devenv.doors.http.connections import IMPORTING, Answer, Connections, basic, login
from devenv.doors.http.partial_file import Again, Got, Partial, Refused, Stopped, Wanted
from devenv.doors.http.retry import Policy, Tries
from devenv.doors.http.trust import Channel, trust
from devenv.doors.once import Once
from devenv.doors.settings.tool_configs import without_secret
from devenv.errors import FetchError

if TYPE_CHECKING:
    from devenv.doors.settings.settings import Settings

T = TypeVar("T")
_MOST_PAGE_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One place that may have a file: an http(s) or file address. `headers`: what only its own host may see."""

    url: str
    channel: Channel = "plain"
    headers: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    accept: str = "*/*"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A source without the file. `gone`: it has no such file; `offline`: not reached; `other`: it has another file;
    `passing`: it was tried several times, because the fault may pass."""

    url: str
    why: str
    gone: bool = False
    offline: bool = False
    other: bool = False
    passing: bool = False


class NowhereError(FetchError):
    """No source gives the file: `reasons` has the answer of each.

    `offline`: none could be reached; `gone`: every one answered that it has no such file.
    """

    def __init__(self, wanted: Wanted, reasons: tuple[Unusable, ...]) -> None:
        detail = "\n".join(f"{without_secret(reason.url)}: {reason.why}" for reason in reasons)
        offline = bool(reasons) and all(reason.offline for reason in reasons)
        super().__init__(
            f"cannot get {wanted.name}",
            detail=detail or "no source is configured for it",
            hint="check the network, and the proxy and mirror settings; the downloaded data is kept"
            if offline
            else None,
        )
        self.wanted = wanted
        self.reasons = reasons
        self.offline = offline
        self.gone = bool(reasons) and all(reason.gone for reason in reasons)


class Web:
    """Downloads after the user's settings, shared by threads. `stop` ends all its work soon."""

    def __init__(self, settings: Settings, policy: Policy | None = None, cancel: Cancellation | None = None) -> None:
        self.policy = policy or Policy()
        self.cancel = cancel or Cancellation()
        self._ending = contextlib.ExitStack()
        self.stop = threading.Event()
        self._settings = settings
        self._connections = Once[Channel, Connections]()

    def __enter__(self) -> Self:
        self._ending.enter_context(self.cancel.ending(self.halt))
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()
        for connections in self._connections.made():
            connections.close()

    def halt(self) -> None:
        """End all work soon: no new try, and waiting readers are woken."""
        self.stop.set()
        for connections in self._connections.made():
            connections.halt()

    def ask(self, origin: Origin) -> tuple[int, str]:
        """Send one request, without reading the body: (HTTP status, its Date header). Raises Again, Refused."""
        with self._get(origin, {}) as answer:
            return answer.status, answer.headers.get("date", "")

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
            with IMPORTING:
                from urllib3.util.request import ACCEPT_ENCODING

            with self._get(origin, {"Accept-Encoding": ACCEPT_ENCODING}) as answer:
                self._check(answer)
                data = bytearray()
                while piece := answer.read(decoded=True):
                    data += piece
                    if len(data) > _MOST_PAGE_BYTES:
                        raise Refused(f"its answer is larger than {_MOST_PAGE_BYTES >> 20} MB")
                kind = answer.headers.get("content-type", "")
                return data.decode(_charset(kind), errors="replace"), answer.url, kind

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
            tries, furthest = Tries(self.policy, self.stop), reached()
            while True:
                if self.stop.is_set():
                    raise Stopped
                try:
                    return act(origin)
                except Refused as refused:
                    why = Unusable(
                        url=origin.url,
                        why=str(refused),
                        gone=refused.gone,
                        offline=refused.offline,
                        other=refused.other,
                    )
                    reasons.append(why)
                    break
                except Again as again:
                    now = reached()
                    if words := tries.failed(again, further=now > furthest):
                        reasons.append(Unusable(url=origin.url, why=words, offline=again.offline, passing=True))
                        break
                    furthest = max(furthest, now)
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
        with self._get(origin, {**extra, "Accept-Encoding": "identity"}) as answer:
            if answer.status == 416:
                file.restart()
                raise Again("it cannot resume the download")
            self._check(answer)
            if answer.status == 206 and not answer.headers.get("content-range", "").startswith(f"bytes {have}-"):
                file.restart()
                raise Again("it sent another range than requested")
            if answer.status == 200 and have:
                file.restart()
                have = 0
            length = answer.headers.get("content-length", "")
            if expected is not None and length.isdigit() and have + int(length) != expected:
                file.restart()
                raise Refused(f"has another size: {have + int(length)} bytes, the lock has {expected}")
            most = file.wanted.most_bytes
            if most is not None and length.isdigit() and have + int(length) > most:
                raise Refused(f"has {have + int(length)} bytes, more than the limit of {most}")
            for chunk in answer.pieces():
                file.write(chunk)
                if most is not None and file.size() > most:
                    file.restart()
                    raise Refused(f"sends more bytes than the limit of {most}")
                if expected is not None and file.size() > expected:
                    file.restart()
                    raise Refused(f"sends more than the {expected} bytes that the lock has")
        if expected is not None and file.size() < expected:
            raise Again(f"ended early, after {file.size()} of {expected} bytes")

    def _check(self, answer: Answer) -> None:
        if answer.status not in (200, 206):
            raise answer.fault(self.policy.longest_wait_s)

    def _get(self, origin: Origin, headers: dict[str, str]) -> contextlib.AbstractContextManager[Answer]:
        connections = self._connections.get(origin.channel, lambda: self._of(origin.channel))
        return connections.get(origin.url, {"Accept": origin.accept, **headers}, self._own(origin))

    def _own(self, origin: Origin) -> dict[str, str]:
        """The headers for the origin's own host: those it has, and the login of its address or of ~/.netrc."""
        netrc = self._settings.pip.netrc if origin.channel == "pip" else None
        return {**(login(origin.url) or _netrc_login(netrc, origin.url)), **dict(origin.headers)}

    def _of(self, channel: Channel) -> Connections:
        proxies = {"pip": self._settings.pip.proxy, "npm": self._settings.npm.proxy, "apt": self._settings.apt_proxy}
        return Connections(self.policy, lambda: trust(self._settings, channel), self.stop, proxies.get(channel))


def _netrc_login(path: Path | None, url: str) -> dict[str, str]:
    """The login for a host in ~/.netrc; a file of another format is ignored, as curl does."""
    import netrc

    try:
        found = netrc.netrc(str(path)).authenticators(urlsplit(url).hostname or "") if path else None
    except (OSError, netrc.NetrcParseError):
        return {}
    return basic(found[0], found[2]) if found and found[2] else {}


def _charset(content_type: str) -> str:
    """The encoding that a response names, where Python knows it."""
    from email.message import Message

    message = Message()
    message["Content-Type"] = content_type
    name = message.get_content_charset("utf-8")
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return "utf-8"
    return name


def _local(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(url) if not parts.scheme else None
