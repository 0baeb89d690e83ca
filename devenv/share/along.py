"""Files that go along with an image or a recipe: the lock's, or a model's."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from devenv.doors.http.registry.manifest import EMPTY, Descriptor
from devenv.doors.http.registry.upload import Blob
from devenv.share import manifests

if TYPE_CHECKING:
    from devenv.doors.http.registry.manifest import Manifest

_NO_CONFIG = Blob(descriptor=Descriptor.of(manifests.NOTHING, EMPTY), content=manifests.NOTHING)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Along:
    """An artifact of this kind, with a blob for each file."""

    kind: str
    blobs: tuple[Blob, ...]
    config: Blob = _NO_CONFIG

    def every(self) -> tuple[Blob, ...]:
        """All blobs that its manifest refers to."""
        return (*self.blobs, self.config)

    def manifest(self, subject: Manifest) -> Manifest:
        """Its manifest, attached to an image or a recipe."""
        return manifests.files(self.kind, [blob.descriptor for blob in self.blobs], self.config.descriptor, subject)
