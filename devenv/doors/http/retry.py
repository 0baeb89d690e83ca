"""Try a source again: how often, and how long to wait in between."""

from __future__ import annotations

import dataclasses
import random
import threading

from devenv.doors.http.partial_file import Again, Stopped


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The number of tries, and the waits."""

    attempts: int = 5
    connect_timeout_s: float = 15
    read_timeout_s: float = 30
    backoff_s: float = 0.4
    longest_wait_s: float = 60
    redirects: int = 10


class Tries:
    """The failed tries in a row of one source for one file. `stop` ends the wait between two."""

    def __init__(self, policy: Policy, stop: threading.Event) -> None:
        self._policy = policy
        self._stop = stop
        self._count = 0

    def failed(self, fault: Again, *, further: bool, most: int | None = None) -> str | None:
        """Count a failed try and wait for the next one; after the last try, return the reason to give up.

        `further`: the try brought some bytes. `most`: the number of tries, where it is lower than the policy's.
        Raises Stopped.
        """
        # A source that gets further each time has no limit of tries; one that starts over each time has.
        self._count = 1 if further and not fault.slow else self._count + 1
        if self._count >= min(most or self._policy.attempts, self._policy.attempts):
            return f"{fault} ({self._count} times)" if self._count > 1 else str(fault)
        backoff_s = self._policy.backoff_s * 2 ** (self._count - 1) * random.uniform(0.75, 1.25)  # noqa: S311
        if self._stop.wait(min(max(backoff_s, fault.wait_s), self._policy.longest_wait_s)):
            raise Stopped
        return None
