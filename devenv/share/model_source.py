"""The model of an environment from where the environment came: a registry in the place of the hubs, or an export.

The lock alone decides what is taken: a file is asked for by its locked sha256, and verified as one of a hub is. Of the
artifact only the digests count, as a list of what is there; its paths and sizes are not used.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from devenv.doors.http.hubs import NAMES
from devenv.doors.http.partial_file import Refused
from devenv.doors.http.ranges import NoRanges
from devenv.doors.http.registry.blob_ranges import BlobRanges
from devenv.doors.http.registry.client import Registry
from devenv.doors.http.registry.faults import MissingError
from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.http.registry.referrers import referrers
from devenv.doors.http.registry.repository import Repository
from devenv.doors.once import Once
from devenv.errors import FetchError, ShareError
from devenv.share.formats import FILE, MODEL
from devenv.share.layout import InLayout
from devenv.share.place import InRegistry
from devenv.weights.download.transfer import Source

if TYPE_CHECKING:
    from devenv.doors.http.registry.manifest import Manifest
    from devenv.lock.model import ModelFile
    from devenv.share.layout import Layout
    from devenv.share.place import Place
    from devenv.up.session import Session
    from devenv.up.weights import ModelFrom

_NUMBER = len(NAMES)
_MOST_ATTACHED = 16


def model_from(place: Place, digest: str) -> ModelFrom | None:
    """Opens the model that is attached to the manifest of this digest. Nothing is asked there before a file is read."""
    if isinstance(place, InRegistry):
        return partial(_registry, place, digest)
    return partial(_export, place, digest) if isinstance(place, InLayout) else None


@contextlib.contextmanager
def _registry(place: InRegistry, digest: str, session: Session) -> Iterator[Source]:
    reference = place.reference
    with Registry(reference.host, session.settings, cancel=session.cancel) as registry:
        yield FromRegistry(number=_NUMBER, stands_in=True, place=place, digest=digest, registry=registry)


@contextlib.contextmanager
def _export(place: InLayout, digest: str, session: Session) -> Iterator[Source]:
    with place.opened(session) as layout:
        yield FromExport(number=_NUMBER + 1, near=True, place=place, digest=digest, layout=layout)


@dataclasses.dataclass(kw_only=True)
class _Attached(Source):
    """A place with a model's artifact. `digest`: what it is attached to."""

    place: Place
    digest: str
    _offered: Once[str, frozenset[str]] = dataclasses.field(default_factory=Once)

    @property
    def name(self) -> str:
        return str(self.place)

    def label(self, path: str) -> str:
        return f"{self.name} ({path})"

    def require(self, file: ModelFile) -> None:
        """Raise Refused unless the file is there, CancelledError."""
        try:
            offered = self._offered.get("", self._list)
        except ShareError as error:
            raise Refused(_words(error), offline=True) from None
        if f"sha256:{file.sha256}" not in offered:
            raise Refused("the attached model has no such file")

    def offers(self, file: ModelFile, /) -> bool:
        try:
            self.require(file)
        except Refused:
            return False
        return True

    def _list(self) -> frozenset[str]:
        offered = {layer.digest for manifest in self.manifests() for layer in manifest.layers}
        if not offered:
            self.remedy = f"from a machine that has the model: {self.command}"
            raise ShareError(f"no model is attached to {self.digest}")
        return frozenset(offered)

    @property
    @abc.abstractmethod
    def command(self) -> str:
        """What puts the model there."""

    @abc.abstractmethod
    def manifests(self) -> Iterable[Manifest]:
        """The models that are attached. Raises ShareError, CancelledError."""


@dataclasses.dataclass(kw_only=True)
class FromRegistry(_Attached):
    """A registry's model: in pieces, over its own connections, with docker's login."""

    place: InRegistry
    registry: Registry

    def __post_init__(self) -> None:
        self._repository = Repository(self.registry, self.place.reference.repository)
        self._blobs = BlobRanges(self._repository, known_by="the lock")

    @property
    def command(self) -> str:
        return f"devenv push PRESET {self.place} --weights"

    def manifests(self) -> Iterable[Manifest]:
        for one in referrers(self._repository, self.digest, MODEL)[:_MOST_ATTACHED]:
            with contextlib.suppress(MissingError):  # a fallback tag also lists what was removed since
                yield self._repository.manifest(one.digest)

    def denial(self) -> FetchError:
        return FetchError(
            f"{self.place} denies access to the attached model", hint=f"docker login {self.place.reference.host}"
        )  # fmt: skip

    def read(self, file: ModelFile, start: int, end: int, take: Callable[[int, bytes], None]) -> None:
        self.require(file)
        try:
            self._blobs.read(f"sha256:{file.sha256}", start, end, file.size, take)
        except ShareError as error:
            raise Refused(_words(error), offline=True) from None

    def halt(self) -> None:
        self.registry.halt()


@dataclasses.dataclass(kw_only=True)
class FromExport(_Attached):
    """The model of an export: file by file, because it is read in one pass."""

    place: InLayout
    layout: Layout
    _alone: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def command(self) -> str:
        return f"devenv export PRESET -o {self.place} --weights"

    def manifests(self) -> Iterable[Manifest]:
        return [one for one in self.layout.attached(self.layout.manifest(self.digest)) if one.artifact_type == MODEL]

    def denial(self) -> FetchError:
        return FetchError(f"{self.place} cannot be read")  # a file gives no such answer

    def halt(self) -> None:
        """A copy from this machine's disk ends soon by itself."""

    def read(self, file: ModelFile, start: int, end: int, take: Callable[[int, bytes], None]) -> None:
        with self._alone:
            self.require(file)
            if (start, end) != (0, file.size):
                raise NoRanges("is read from its beginning")
            try:
                for chunk in self.layout.chunks(Descriptor(media_type=FILE, digest=f"sha256:{file.sha256}", size=end)):
                    take(start, chunk)
                    start += len(chunk)
            except ShareError as error:
                raise Refused(_words(error)) from None


def _words(error: ShareError) -> str:
    return ": ".join(filter(None, (error.message, error.detail))).replace("\n", "; ")
