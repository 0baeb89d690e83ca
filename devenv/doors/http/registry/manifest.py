"""Manifests and indexes: bytes with a digest, and their content, validated as untrusted input.

Formats: OCI image specification 1.1 (manifest.md, image-index.md, descriptor.md), Docker's image manifest V2 schema 2.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

from devenv.doors.http.registry.reference import is_digest
from devenv.doors.untrusted import from_json

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY = "application/vnd.oci.empty.v1+json"
"""The configuration of an artifact that has none."""
MEDIA_TYPES = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
MOST_BYTES = 4 << 20
"""The size limit of a manifest: what the specification has registries accept at the least."""
_INDEXES = (OCI_INDEX, DOCKER_INDEX)
_MOST_SIZE = 1 << 50


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The machines that an image of an index is for."""

    os: str
    architecture: str
    variant: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Content that another document refers to."""

    media_type: str
    digest: str
    size: int
    annotations: tuple[tuple[str, str], ...] = ()
    artifact_type: str | None = None
    platform: Platform | None = None

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return self.digest.partition(":")[2]

    @classmethod
    def of(cls, data: bytes, media_type: str, **more: Any) -> Self:
        """The descriptor of these bytes."""
        return cls(media_type=media_type, digest=digest_of(data), size=len(data), **more)

    def document(self) -> dict[str, Any]:
        """As JSON of a manifest."""
        platform = self.platform and {key: value for key, value in dataclasses.asdict(self.platform).items() if value}
        optional = {"artifactType": self.artifact_type, "annotations": dict(self.annotations), "platform": platform}
        found = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return found | {key: value for key, value in optional.items() if value}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest or an index. `data` is what the digest is of; it is never serialised again from the parsed values."""

    data: bytes = dataclasses.field(repr=False)
    media_type: str

    @classmethod
    def read(cls, data: bytes, media_type: str) -> Self:
        """Validate received bytes. Raises ValueError: no JSON, an unknown format, invalid descriptors."""
        document = from_json(data)
        if not isinstance(document, dict):
            raise ValueError("it is not a JSON object")
        kind = document.get("mediaType") or media_type.partition(";")[0].strip()
        if document.get("schemaVersion") != 2 or kind not in MEDIA_TYPES:
            raise ValueError(f"it has the format {kind or 'unknown'!r}, which is not an image's or an index's")
        made = cls(data=data, media_type=kind)
        # Every part is read once here, so that later reading cannot fail.
        _ = (made.config, made.layers, made.manifests, made.subject, made.annotations, made.artifact_type)
        if not made.is_index and made.config is None:
            raise ValueError("it has no configuration")
        return made

    @classmethod
    def index(cls, entries: Iterable[Descriptor], annotations: Mapping[str, str] | None = None) -> Self:
        """An OCI index of these."""
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX}
        document["manifests"] = [entry.document() for entry in entries]
        return cls.write(document | ({"annotations": dict(annotations)} if annotations else {}))

    @classmethod
    def write(cls, document: Mapping[str, Any]) -> Self:
        """The bytes for a document with a `mediaType`: the same for the same values."""
        data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return cls(data=data, media_type=document["mediaType"])

    @functools.cached_property
    def digest(self) -> str:
        """The digest of the bytes."""
        return digest_of(self.data)

    @functools.cached_property
    def document(self) -> Mapping[str, Any]:
        """The whole JSON document."""
        document: dict[str, Any] = from_json(self.data)
        return document

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests."""
        return self.media_type in _INDEXES

    @functools.cached_property
    def config(self) -> Descriptor | None:
        """An image's configuration; None for an index."""
        return _optional(self.document.get("config"))

    @functools.cached_property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers, the lowest first; none for an index."""
        return _list(self.document.get("layers"))

    @functools.cached_property
    def manifests(self) -> tuple[Descriptor, ...]:
        """The manifests that an index lists."""
        return _list(self.document.get("manifests"))

    @functools.cached_property
    def subject(self) -> Descriptor | None:
        """The manifest that this one is about."""
        return _optional(self.document.get("subject"))

    @functools.cached_property
    def annotations(self) -> tuple[tuple[str, str], ...]:
        """Its own, without those of its parts."""
        return _texts(self.document.get("annotations"))

    @functools.cached_property
    def artifact_type(self) -> str | None:
        """What kind of artifact it is; for a manifest without one, its configuration's media type."""
        found = self.document.get("artifactType")
        if found is not None and not isinstance(found, str):
            raise ValueError("its artifactType is not a text")
        return found or (self.config.media_type if self.config else None)

    def described(self) -> Descriptor:
        """The descriptor of this, as an index of referrers has it."""
        return Descriptor.of(
            self.data, self.media_type, annotations=self.annotations, artifact_type=self.artifact_type
        )  # fmt: skip


def digest_of(data: bytes) -> str:
    """The digest of bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _optional(value: Any) -> Descriptor | None:
    return None if value is None else _descriptor(value)


def _list(value: Any) -> tuple[Descriptor, ...]:
    if not isinstance(value, list | None):
        raise ValueError("a list of descriptors is not a list")
    return tuple(_descriptor(one) for one in value or ())


def _descriptor(value: Any) -> Descriptor:
    if not isinstance(value, dict):
        raise ValueError("a descriptor is not an object")
    digest, size, kind = value.get("digest"), value.get("size"), value.get("mediaType")
    if not isinstance(digest, str) or not is_digest(digest):
        raise ValueError("a descriptor has no digest of the form sha256:HEX")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < _MOST_SIZE:
        raise ValueError(f"the size of {digest} is not a number of bytes")
    if not isinstance(kind, str):
        raise ValueError(f"{digest} has no media type")
    artifact_type = value.get("artifactType")
    if not isinstance(artifact_type, str | None):
        raise ValueError(f"the artifactType of {digest} is not a text")
    return Descriptor(
        media_type=kind, digest=digest, size=size, annotations=_texts(value.get("annotations")),
        artifact_type=artifact_type, platform=_platform(value.get("platform")),
    )  # fmt: skip


def _platform(value: Any) -> Platform | None:
    if value is None:
        return None
    parts = [value.get(key, "") if isinstance(value, dict) else None for key in ("os", "architecture", "variant")]
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) != len(parts):
        raise ValueError("a platform is not os and architecture")
    return Platform(os=texts[0], architecture=texts[1], variant=texts[2])


def _texts(value: Any) -> tuple[tuple[str, str], ...]:
    pairs = value.items() if isinstance(value, dict) else () if value is None else ((None, None),)
    if not all(isinstance(key, str) and isinstance(text, str) for key, text in pairs):
        raise ValueError("annotations are not texts by name")
    return tuple(pairs)
