"""One registry: its address, its logins, and requests that are tried again until they end in a result or an error."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urljoin, urlsplit

from devenv.doors.cancellation import Cancellation
from devenv.doors.http.connections import Answer, Connections, Request, same_host
from devenv.doors.http.partial_file import Again, Refused, Stopped
from devenv.doors.http.registry import logins
from devenv.doors.http.registry.auth import Guard, Scopes, Unusable
from devenv.doors.http.registry.faults import DeniedError, Refusal, Rejected, refused, unreached, words_of, wrong
from devenv.doors.http.registry.reference import is_loopback
from devenv.doors.http.retry import Policy, Tries
from devenv.doors.http.trust import trusting
from devenv.doors.once import Once
from devenv.doors.settings.config_yaml import RegistrySettings
from devenv.doors.thread import in_thread

if TYPE_CHECKING:
    import ssl

    from devenv.doors.settings.settings import Settings

T = TypeVar("T")
_MOST_WORDS_BYTES = 64 << 10
_MOST_TOKEN_BYTES = 1 << 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_NO_REGISTRY = {400, 421, 426, 497}
"""What servers that speak only TLS answer to plain HTTP."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a registry. `what` completes "cannot …"; `url`: from its root, or an address that it named."""

    what: str
    url: str
    scopes: Scopes
    method: str = "GET"
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | Callable[[], Iterable[bytes]] | None = None
    expect: tuple[int, ...] = (200,)
    once: bool = False
    """The caller itself tries again: faults reach it as Again and Rejected."""
    patience_s: float | None = None


class Registry:
    """Requests to one registry, by the user's settings and docker's logins; shared by threads.

    `cancel` ends all its work soon. When a transfer has failed, its other threads are ended in the same way, and
    nothing more can be asked.
    """

    def __init__(
        self, host: str, settings: Settings, policy: Policy | None = None, cancel: Cancellation | None = None
    ) -> None:
        self.host = host
        self.settings = settings
        self.policy = policy or Policy(read_timeout_s=60)
        self.cancel = cancel or Cancellation()
        self.stop = threading.Event()
        self._ending = contextlib.ExitStack()
        self._own = next(
            (registry for registry in settings.registries if registry.host == host), RegistrySettings(host=host)
        )
        self.connections = Connections(
            self.policy, self._trust, self.stop, direct=is_loopback(host), strict=not self._may_be_plain
        )
        self._once = Once[str, str]()
        self._guards = Once[str, Guard]()

    def __enter__(self) -> Self:
        self._ending.enter_context(self.cancel.ending(self.halt))
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()
        self.connections.close()

    def halt(self) -> None:
        """End all work soon."""
        self.stop.set()
        self.connections.halt()

    @property
    def address(self) -> str:
        """Scheme and host. Raises RegistryError when it is looked for and cannot be reached, CancelledError."""
        return self._once.get("address", self._find)

    @property
    def guard(self) -> Guard:
        """Its logins and tokens. Raises ShareError, CancelledError."""
        return self._guards.get("", self._guard)

    def describe_login(self) -> str:
        """Which login is used, and from where; for messages."""
        if login := self.guard.login:
            return f"used: {login}"
        return f"no login was used: docker has none for {self.host} ({self.settings.docker_config or 'no config.json'})"

    def ask(self, call: Call, read: Callable[[Answer], T]) -> T:
        """Send it, log in on a challenge, try again where that may help, and return what `read` makes of the response.

        Raises RegistryError (MissingError, DeniedError), CancelledError; with `once` also Again, Rejected.
        """
        tries = Tries(self.policy, self.stop)
        while True:
            try:
                return self._asked(call, read)
            except Stopped:
                self.cancel.check()
                raise
            except Refused as fault:
                raise unreached(call.what, self.host, fault, str(fault)) from None
            except Rejected as rejected:
                if call.once:
                    raise
                raise refused(call.what, self.host, rejected.refusal, self.describe_login()) from None
            except Again as again:
                if call.once:
                    raise
                self.again(call.what, again, tries)

    def again(self, what: str, fault: Again, tries: Tries, *, further: bool = False) -> None:
        """Wait for the next try. Raises RegistryError after the last one, CancelledError."""
        try:
            why = tries.failed(fault, further=further)
        except Stopped:
            self.cancel.check()
            raise
        if why is not None:
            if isinstance(fault, Passing):
                raise refused(what, self.host, fault.refusal, self.describe_login()) from None
            raise unreached(what, self.host, fault, why) from None

    def show(self, what: str, scopes: Scopes) -> Mapping[str, str]:
        """The headers that only the registry may see. Raises RegistryError."""
        try:
            return self.guard.headers(scopes)
        except Unusable as error:
            raise self._unusable(what, error) from None

    def renew(self, what: str, header: str, scopes: Scopes, shown: Mapping[str, str]) -> bool:
        """Whether there is another thing to show. Raises RegistryError."""
        try:
            return self.guard.renew(header, scopes, shown)
        except Unusable as error:
            raise self._unusable(what, error) from None

    def located(self, answer: Answer, what: str) -> str:
        """The address of a Location header. Raises RegistryError when there is none that can be used."""
        location = answer.headers.get("location", "")
        allowed = ("https", "http") if self.address.startswith("http:") else ("https",)
        with contextlib.suppress(ValueError):
            url = urljoin(answer.url, location)
            if location and urlsplit(url).scheme in allowed:
                return url
        raise wrong(what, self.host, "names no address to continue at, or one that cannot be used")

    def together(self, name: str, act: Callable[[], None], count: int) -> None:
        """Run `act` in so many threads, and wait for all. Raises what the first to fail raised, CancelledError; the
        others are ended then."""
        done = SimpleQueue[Future[None]]()
        futures = [in_thread(name, act) for _ in range(count)]
        for future in futures:
            future.add_done_callback(done.put)
        try:
            for _ in futures:
                done.get().result()
        except BaseException as error:
            self.halt()
            wait(futures)
            if isinstance(error, Stopped):
                self.cancel.check()
            raise

    # ---- one try

    def _asked(self, call: Call, read: Callable[[Answer], T]) -> T:
        url = urljoin(self.address, call.url)
        for fresh in (False, True):
            shown = self.show(call.what, call.scopes)
            request = Request(
                url=url, method=call.method, headers=call.headers, own=shown, home=self.address, body=call.body,
                patience_s=call.patience_s,
            )  # fmt: skip
            with self.connections.ask(request) as answer:
                if answer.status in call.expect:
                    return read(answer)
                header = answer.headers.get("www-authenticate", "")
                refusal = self._refusal(answer)
            may_log_in = refusal.status == 401 and not refusal.elsewhere and not fresh
            if not may_log_in or not self.renew(call.what, header, call.scopes, shown):
                break
        if refusal.status in _PASSING:
            raise Passing(refusal)
        raise Rejected(refusal)

    def _refusal(self, answer: Answer) -> Refusal:
        body = bytearray()
        with contextlib.suppress(Again):
            while len(body) < _MOST_WORDS_BYTES and (piece := answer.read(decoded=True)):
                body += piece
        return Refusal(
            status=answer.status, why=answer.why, words=words_of(bytes(body), self.guard.secrets),
            wait_s=answer.wait_s(self.policy.longest_wait_s), elsewhere=not same_host(answer.url, self.address),
        )  # fmt: skip

    # ---- what is found out once

    def _trust(self) -> ssl.SSLContext:
        return trusting(file for file in (self.settings.ca_bundle, self._own.ca) if file is not None)

    @property
    def _may_be_plain(self) -> bool:
        return self._own.insecure or (is_loopback(self.host) and self._own.ca is None)

    def _find(self) -> str:
        """https, except where the registry is this machine's or the user allows it, and it speaks no TLS."""
        if not self._may_be_plain:
            return f"https://{self.host}"
        # A plain server may let a TLS client wait; on loopback nobody listens, so plain HTTP is tried first there.
        order = ("http", "https") if is_loopback(self.host) else ("https", "http")
        faults: list[Again | Refused] = []
        for scheme in order:
            try:
                with self.connections.ask(Request(url=f"{scheme}://{self.host}/v2/", moves=False)) as answer:
                    if scheme == "https" or answer.status not in _NO_REGISTRY:
                        return f"{scheme}://{self.host}"
            except Stopped:
                self.cancel.check()
                raise
            except Refused as fault:  # a certificate that is not trusted: plain HTTP would go around it
                raise unreached(f"reach {self.host}", self.host, fault, str(fault)) from None
            except Again as fault:
                faults.append(fault)
        raise unreached(f"reach {self.host}", self.host, faults[0], str(faults[0])) from None

    def _guard(self) -> Guard:
        login = logins.find(self.host, self.settings.docker_config, self.cancel)
        return Guard(login, self._token, plain=self.address.startswith("http:"))

    def _token(self, request: Request) -> tuple[int, bytes]:
        """Ask the token service. Raises RegistryError."""
        what, tries = f"log in to {self.host}", Tries(self.policy, self.stop)
        while True:
            try:
                with self.connections.ask(request) as answer:
                    if answer.status in _PASSING:
                        raise answer.fault(self.policy.longest_wait_s)
                    body = bytearray()
                    while len(body) <= _MOST_TOKEN_BYTES and (piece := answer.read(decoded=True)):
                        body += piece
                    return answer.status, bytes(body)
            except Refused as fault:
                raise unreached(what, self.host, fault, str(fault)) from None
            except Again as fault:
                self.again(what, fault, tries)

    def _unusable(self, what: str, error: Unusable) -> DeniedError:
        hint = f"log in again: docker login {self.host}" if error.denied else None
        return DeniedError(f"cannot {what}", detail=f"{self.host} {error}\n{self.describe_login()}", hint=hint)


class Passing(Again):
    """A refusal that may pass."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.why, wait_s=refusal.wait_s)
        self.refusal = refusal
