"""Ranges of a repository's blobs, with its login: for whoever downloads a blob in pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from devenv.doors.http.partial_file import Denied
from devenv.doors.http.ranges import Place, Ranges
from devenv.doors.http.registry.client import Call

if TYPE_CHECKING:
    from devenv.doors.http.registry.repository import Repository


class BlobRanges:
    """Shared by threads. `known_by`: where the sizes come from, for messages."""

    def __init__(self, repository: Repository, *, known_by: str) -> None:
        self._repository = repository
        self._registry = repository.registry
        self._ranges = Ranges.over(
            self._registry.connections, self._registry.policy, self._registry.stop, known_by=known_by
        )

    def read(self, digest: str, start: int, end: int, size: int, take: Callable[[int, bytes], None]) -> None:
        """Bytes `start` to `end` (exclusive) of a blob of `size` bytes: `take(offset, bytes)` gets them as they come.

        Raises Refused (Denied, after another login was tried), Again (NoRanges), Stopped, RegistryError,
        CancelledError, and what `take` raises.
        """
        shown = self._shown(digest)
        try:
            self._ranges.read(self._place(digest, shown), start, end, size, take)
        except Denied:
            if not self._log_in(digest, shown):
                raise
            self._ranges.read(self._place(digest, self._shown(digest)), start, end, size, take)

    def request_without_body(self, digest: str) -> None:
        """Ask without the bytes: it logs in, and a refusal becomes the full error, with the registry's words. Raises
        RegistryError."""
        call = Call(
            what=self.label(digest), url=self._repository.path("blobs", digest), scopes=self._repository.scopes,
            method="HEAD",
        )  # fmt: skip
        self._registry.ask(call, lambda _: None)

    def label(self, digest: str) -> str:
        """What is done, to complete "cannot …"."""
        return f"download {digest} of {self._repository}"

    def _shown(self, digest: str) -> Mapping[str, str]:
        return self._registry.show(self.label(digest), self._repository.scopes)

    def _place(self, digest: str, shown: Mapping[str, str]) -> Place:
        return Place(url=self._registry.address + self._repository.path("blobs", digest), headers=shown)

    def _log_in(self, digest: str, shown: Mapping[str, str]) -> bool:
        """Whether another authorization can be tried."""
        if not self._registry.guard.has_challenge:
            self.request_without_body(digest)
            return True
        return self._registry.renew(self.label(digest), "", self._repository.scopes, shown)
