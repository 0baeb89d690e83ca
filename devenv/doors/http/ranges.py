"""Parts of large files, and many small ones, over kept connections: one request for each range of bytes."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Self

from devenv.doors.http.connections import Answer, Connections
from devenv.doors.http.partial_file import Again, Refused
from devenv.doors.http.retry import Policy
from devenv.doors.http.trust import trust

if TYPE_CHECKING:
    from devenv.doors.settings.settings import Settings

_TRICKLE_S = 15.0


class NoRanges(Again):
    """This server sends whole files only."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address, and headers that only its own host may see."""

    url: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)


class Ranges:
    """Shared by threads. `stop` ends all its work soon. `known_by`: where file sizes come from, for messages."""

    def __init__(self, settings: Settings, policy: Policy | None = None, *, slowest_bytes_s: float = 1000) -> None:
        policy, stop = policy or Policy(attempts=4, connect_timeout_s=10), threading.Event()
        self._over(Connections(policy, lambda: trust(settings, "plain"), stop), policy, stop, slowest_bytes_s)

    @classmethod
    def over(cls, connections: Connections, policy: Policy, stop: threading.Event, *, known_by: str) -> Self:
        """Ranges over the connections of another, which closes them."""
        made = cls.__new__(cls)
        made._over(connections, policy, stop)
        made.known_by = known_by
        return made

    def _over(
        self, connections: Connections, policy: Policy, stop: threading.Event, slowest_bytes_s: float = 1000
    ) -> None:
        self.policy = policy
        self.slowest_bytes_s = slowest_bytes_s
        self.trickle_s = _TRICKLE_S
        self.known_by = "the lock"
        self.stop = stop
        self._connections = connections
        self._final: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.close()

    def halt(self) -> None:
        """End all work soon; waiting readers are woken."""
        self.stop.set()
        self._connections.halt()

    def read(self, place: Place, start: int, end: int, size: int, take: Callable[[int, bytes], None]) -> None:
        """Bytes `start` to `end` (exclusive) of a file of `size` bytes: `take(offset, bytes)` gets them as they come.

        Raises Refused (Denied), Again (NoRanges), Stopped, and what `take` raises.
        """
        whole = start == 0 and end == size
        headers = {"Accept-Encoding": "identity", **({} if whole else {"Range": f"bytes={start}-{end - 1}"})}
        url = self._final.get(place.url) or place.url
        with self._connections.get(url, headers, place.headers, home=place.url) as answer:
            self._check(answer, place)
            self._begin(answer, start, end, size)
            self._stream(answer, start, end, take)

    def _check(self, answer: Answer, place: Place) -> None:
        """Raise for an answer without the file; else note the final address, which further requests begin with."""
        moved = answer.url != place.url
        if answer.status in (200, 206):
            if moved:
                self._final[place.url] = answer.url
            return
        answer.release()
        if moved:
            # A signed address has expired or its host fails: ask the hub for a new one.
            self._final.pop(place.url, None)
            wait_s = answer.wait_s(self.policy.longest_wait_s)
            raise Again(f"{answer.why}, from the address it redirects to", wait_s=wait_s)
        raise answer.fault(self.policy.longest_wait_s)

    def _begin(self, answer: Answer, start: int, end: int, size: int) -> None:
        """Check an answer before any of its bytes is used."""
        length = answer.headers.get("content-length", "")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise Refused("sends a compressed copy instead of the file")
        if answer.status == 206:
            content_range = answer.headers.get("content-range", "")
            if not content_range.startswith(f"bytes {start}-"):
                raise Again("it sent another range than requested")
            total = content_range.rpartition("/")[2]
            if total.isdigit() and int(total) != size:
                raise Refused(f"has another size: {total} bytes, {self.known_by} has {size}")
            return
        if length.isdigit() and int(length) != size:
            raise Refused(f"has another size: {length} bytes, {self.known_by} has {size}")
        if (start, end) != (0, size):
            raise NoRanges("sends whole files only")

    def _stream(self, answer: Answer, offset: int, end: int, take: Callable[[int, bytes], None]) -> None:
        """Pass on the body, to its end."""
        began, since = time.monotonic(), offset
        while offset < end:
            chunk = answer.read()
            if not chunk:
                raise Again(f"ended early, after {offset} of {end} bytes")
            if offset + len(chunk) > end:
                raise Refused(f"sends more bytes than {self.known_by} has")
            take(offset, chunk)
            offset += len(chunk)
            now = time.monotonic()
            if now - began > self.trickle_s:
                if (offset - since) / (now - began) < self.slowest_bytes_s:
                    raise Again(f"is too slow: {(offset - since) / (now - began):.0f} bytes/s", slow=True)
                began, since = now, offset
        # Without a length, only a further read finds the end.
        if not answer.has_known_length and answer.read():
            raise Refused(f"sends more bytes than {self.known_by} has")
