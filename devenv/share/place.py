"""Where images and recipes are kept for others. All places are used in the same way."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from devenv.doors.http.registry.client import Registry
from devenv.doors.http.registry.pull import Grew, Placed, pull
from devenv.doors.http.registry.push import push
from devenv.doors.http.registry.reference import Reference
from devenv.doors.http.registry.referrers import attach, referrers
from devenv.doors.http.registry.repository import Repository
from devenv.share.pushes import Pushes
from devenv.share.signatures.check import require

if TYPE_CHECKING:
    from devenv.doors.http.registry.manifest import Descriptor, Manifest
    from devenv.doors.http.registry.upload import Blob, Sent
    from devenv.doors.terminal.progress import Progress
    from devenv.share.signatures.check import Signer
    from devenv.up.session import Session

_MOST_ATTACHED = 1000


def no_hook(*_: object) -> None:
    """Nothing follows when a file has grown, or is whole."""


class Images(Protocol):
    """The manifests and blobs of one place. Every method raises ShareError, CancelledError."""

    def manifest(self, version: str | None = None) -> Manifest:
        """The manifest of a digest; without one, the manifest that the place's own name means."""

    def attached(self, subject: Manifest) -> tuple[Manifest, ...]:
        """The manifests that are attached to one."""

    def blob(self, wanted: Descriptor, *, most_bytes: int) -> bytes:
        """A small blob, verified."""

    def bring(
        self, wanted: Iterable[Descriptor], folder: Path, progress: Progress, *, placed: Placed = no_hook,
        grew: Grew = no_hook,
    ) -> None:  # fmt: skip
        """Have these blobs in a folder, verified, each under its sha256 in hex. `placed` and `grew` are called as by
        `pull`."""

    def signers(self, manifest: Manifest, project: Path | None) -> tuple[Signer, ...]:
        """Who signed a manifest, as far as this machine and the project require it. Raises ShareError when it is not
        signed as they require, UsageError for a policy that cannot be used."""

    def send(self, blobs: Iterable[Blob], progress: Progress) -> Sent:
        """Have these blobs in the place; what is there is not sent."""

    def put(self, manifest: Manifest) -> None:
        """Keep a manifest under the place's own name; all that it refers to must be there."""

    def attach(self, manifest: Manifest) -> None:
        """Keep a manifest that has a subject, so that it is found from there."""


class Place(Protocol):
    """The name of a place, before anything is asked there."""

    def __str__(self) -> str:
        """As a user would write it."""

    @property
    def near(self) -> bool:
        """Whether its bytes come without a network."""

    def at(self, digest: str) -> str:
        """The same place, at one manifest for ever."""

    def opened(self, session: Session, *, writing: bool = False) -> AbstractContextManager[Images]:
        """Use it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InRegistry:
    """A tag or digest of a registry's repository."""

    reference: Reference

    def __str__(self) -> str:
        return str(self.reference)

    @property
    def near(self) -> bool:
        """It is elsewhere."""
        return False

    def at(self, digest: str) -> str:
        """HOST/NAME@sha256:…"""
        return f"{self.reference.host}/{self.reference.repository}@{digest}"

    def check(self, session: Session) -> None:
        """Raise ShareError for a registry that cannot be reached or refuses the login."""
        with Registry(self.reference.host, session.settings, cancel=session.cancel) as registry:
            Repository(registry, self.reference.repository, writing=True).check()

    @contextlib.contextmanager
    def opened(self, session: Session, *, writing: bool = False) -> Iterator[Images]:
        """Use it, with docker's own logins."""
        with Registry(self.reference.host, session.settings, cancel=session.cancel) as registry:
            yield _Repository(
                Repository(registry, self.reference.repository, writing=writing), self.reference, Pushes.of(session)
            )


class _Repository:
    def __init__(self, repository: Repository, reference: Reference, pushes: Pushes) -> None:
        self._repository = repository
        self._reference = reference
        self._pushes = pushes

    def manifest(self, version: str | None = None) -> Manifest:
        return self._repository.manifest(version or self._reference.version)

    def attached(self, subject: Manifest) -> tuple[Manifest, ...]:
        found = referrers(self._repository, subject.digest)[:_MOST_ATTACHED]
        return tuple(self._repository.manifest(one.digest) for one in found)

    def blob(self, wanted: Descriptor, *, most_bytes: int) -> bytes:
        return self._repository.blob(wanted, most_bytes=most_bytes)

    def bring(
        self, wanted: Iterable[Descriptor], folder: Path, progress: Progress, *, placed: Placed = no_hook,
        grew: Grew = no_hook,
    ) -> None:  # fmt: skip
        pull(self._repository, wanted, folder, progress, placed=placed, grew=grew)

    def signers(self, manifest: Manifest, project: Path | None) -> tuple[Signer, ...]:
        return require(self._repository, manifest, self._reference, project)

    def send(self, blobs: Iterable[Blob], progress: Progress) -> Sent:
        origins = self._pushes.origins(self._reference)
        return push(self._repository, [dataclasses.replace(one, origins=origins) for one in blobs], progress)

    def put(self, manifest: Manifest) -> None:
        self._repository.put(manifest, self._reference.tag)
        self._pushes.remember(self._reference)

    def attach(self, manifest: Manifest) -> None:
        attach(self._repository, manifest)
