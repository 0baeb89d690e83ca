"""The clients of `weights serve`, and which to disconnect when there are too many: bookkeeping without sockets."""

from __future__ import annotations

import dataclasses
import ipaddress
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator

CONNECTIONS = 128
STRANGERS_OF_ONE_ADDRESS = CONNECTIONS // 2
FIRST_REQUEST_S = 10.0
NEXT_REQUEST_S = 60.0


@dataclasses.dataclass(slots=True)
class _Guest:
    address: str
    since: float
    """When it began to wait for a request, seconds."""
    waits: bool = True
    known: bool = False


class Guests:
    """The connections of a server, by any key. A client is known once it has sent the token, else a stranger.

    `connections`: places in all; `of_one`: strangers of one address. First, strangers without a running request
    are disconnected for a new client, those of the address with the most of them and the oldest first; then known ones.
    A client whose request is in progress never is. All methods may be called from any thread.
    """

    def __init__(
        self, *, connections: int = CONNECTIONS, of_one: int = STRANGERS_OF_ONE_ADDRESS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.connections = connections
        self.of_one = of_one
        self.first_s = FIRST_REQUEST_S
        self.next_s = NEXT_REQUEST_S
        self._clock = clock
        self._lock = threading.Lock()
        self._here: dict[Hashable, _Guest] = {}

    def admit(self, key: Hashable, host: str) -> tuple[bool, Hashable | None]:
        """(whether a connection from `host` has a place, the connection that lost its own)."""
        address = _network(host)
        with self._lock:
            gone = None
            of_one = [key for key, guest in self._here.items() if guest.address == address and not guest.known]
            if len(of_one) >= self.of_one:
                gone = self._oldest(of_one)
            elif len(self._here) >= self.connections:
                gone = self._oldest(self._of_most()) or self._oldest(self._here)
            else:
                self._here[key] = _Guest(address, self._clock())
                return True, None
            if gone is None:
                return False, None
            del self._here[gone]
            self._here[key] = _Guest(address, self._clock())
            return True, gone

    def waits(self, key: Hashable) -> None:
        """The server waits for a request of this client."""
        with self._lock:
            if (guest := self._here.get(key)) and not guest.waits:
                guest.waits, guest.since = True, self._clock()

    def asked(self, key: Hashable, *, known: bool) -> None:
        """Its request is here, head and body; `known`: with the token."""
        with self._lock:
            if guest := self._here.get(key):
                guest.waits, guest.known = False, known

    def leaves(self, key: Hashable) -> None:
        """The connection has ended."""
        with self._lock:
            self._here.pop(key, None)

    def late(self) -> tuple[Hashable, ...]:
        """Clients whose request did not arrive in time; they lose their places."""
        now = self._clock()
        with self._lock:
            late = [
                key
                for key, guest in self._here.items()
                if guest.waits and now - guest.since > (self.next_s if guest.known else self.first_s)
            ]
            for key in late:
                del self._here[key]
        return tuple(late)

    def _of_most(self) -> Iterator[Hashable]:
        """The waiting strangers of the address that has the most of them."""
        waiting = [(key, guest) for key, guest in self._here.items() if guest.waits and not guest.known]
        most = Counter(guest.address for _, guest in waiting).most_common(1)
        return (key for key, guest in waiting if guest.address == most[0][0])

    def _oldest(self, keys: Iterable[Hashable]) -> Hashable | None:
        """The client that has waited longest."""
        waiting = [key for key in keys if self._here[key].waits]
        return min(waiting, key=lambda key: self._here[key].since, default=None)


def _network(host: str) -> str:
    """The network that one client may own: an IPv4 address, or 64 bits of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
