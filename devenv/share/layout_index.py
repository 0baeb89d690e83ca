"""The documents of an image layout: `index.json` with one image, and `manifest.json` for `docker load`.

Formats: OCI image specification 1.1 (image-layout.md); `docker save` of Docker 25 and newer, which has both in one tar.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence

from devenv.doors.http.registry.manifest import OCI_INDEX, Descriptor, Manifest
from devenv.doors.http.registry.reference import is_digest, is_tag
from devenv.share.formats import BUILD, CONFIG, CONTAINERD_NAME, REF_NAME, REFERRERS, REFERRERS_SIZE, SNAPSHOT, TITLE

LAYOUT, INDEX, DOCKER = "oci-layout", "index.json", "manifest.json"
BLOBS = "blobs/sha256"
LAYOUT_TEXT = b'{"imageLayoutVersion":"1.0.0"}'
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_MOST_SIZE_DIGITS = 12


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a layout has: one image or recipe, and what is attached to it, in one index."""

    top: Manifest
    attached: Manifest

    @classmethod
    def of(cls, top: Manifest, attached: Sequence[Manifest]) -> Named:
        """The index of the attached ones is made here."""
        return cls(top=top, attached=Manifest.index(sorted((one.described() for one in attached), key=_digest)))

    def index(self) -> bytes:
        """`index.json`."""
        name = image_name(self.top)
        names = {CONTAINERD_NAME: f"docker.io/{name}", REF_NAME: name.rpartition(":")[2]}
        kind = self.top.artifact_type if self.top.config and self.top.config.media_type != CONFIG else None
        entry = Descriptor.of(self.top.data, self.top.media_type, annotations=(*names.items(),), artifact_type=kind)
        return Manifest.index(
            [entry], {REFERRERS: self.attached.digest, REFERRERS_SIZE: str(len(self.attached.data))}
        ).data

    def docker(self) -> bytes | None:
        """`manifest.json`; None for a recipe."""
        if self.top.config is None or self.top.config.media_type != CONFIG:
            return None
        row = {
            "Config": f"{BLOBS}/{self.top.config.hex}",
            "RepoTags": [image_name(self.top)],
            "Layers": [f"{BLOBS}/{layer.hex}" for layer in self.top.layers],
        }
        return json.dumps([row], separators=(",", ":")).encode()


def attached_to(index: Manifest) -> Descriptor | None:
    """The index of what is attached, as a layout's own index names it."""
    about = dict(index.annotations)
    digest, size = about.get(REFERRERS, ""), about.get(REFERRERS_SIZE, "")
    if not is_digest(digest) or not (size.isascii() and size.isdigit() and len(size) < _MOST_SIZE_DIGITS):
        return None
    return Descriptor(media_type=OCI_INDEX, digest=digest, size=int(size))


def image_name(manifest: Manifest) -> str:
    """The tag that `docker load` gives: preset and build, or preset and snapshot. A snapshot's differs from the tag
    under which devenv itself keeps an image with a layer, which has more in it."""
    about = dict(manifest.annotations)
    preset, version = about.get(TITLE, ""), about.get(SNAPSHOT) or about.get(BUILD, "")[:16]
    if not _REPOSITORY.fullmatch(preset) or not is_tag(version):
        preset, version = "image", manifest.digest.partition(":")[2][:16]
    return f"devenv/{preset}:{version}"


def _digest(descriptor: Descriptor) -> str:
    return descriptor.digest
