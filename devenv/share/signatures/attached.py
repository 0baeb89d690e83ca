"""Signatures by SSH keys in a registry: artifacts that have the signed manifest as their subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devenv.doors.http.registry.manifest import EMPTY, OCI_MANIFEST, Descriptor, Manifest
from devenv.doors.http.registry.push import push
from devenv.doors.http.registry.referrers import attach, referrers
from devenv.doors.http.registry.upload import Blob
from devenv.doors.terminal.progress import Silent
from devenv.share.signatures import payload, ssh

if TYPE_CHECKING:
    from devenv.doors.http.registry.repository import Repository

ARTIFACT_TYPE = "application/vnd.devenv.signature.ssh.v1"
SIGNATURE = "application/vnd.devenv.sshsig.v1"
"""The media type of the armoured signature; the payload is the other layer."""


def put(repository: Repository, subject: Manifest, signed: bytes, signature: bytes) -> None:
    """Attach a signature of the payload `signed` to a manifest. Raises ShareError."""
    contents = ((signed, payload.MEDIA_TYPE), (signature, SIGNATURE))
    artifact(repository, subject, ARTIFACT_TYPE, contents)


def artifact(
    repository: Repository, subject: Manifest, kind: str, contents: tuple[tuple[bytes, str], ...],
    annotations: dict[str, str] | None = None,
) -> None:  # fmt: skip
    """Attach an artifact of some bytes, each with its media type, to a manifest. Raises ShareError."""
    layers = [Blob(descriptor=Descriptor.of(data, media_type), content=data) for data, media_type in contents]
    empty = Blob(descriptor=Descriptor.of(b"{}", EMPTY), content=b"{}")
    push(repository, [empty, *layers], Silent())
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": empty.descriptor.document(),
        "layers": [one.descriptor.document() for one in layers],
        "subject": Descriptor.of(subject.data, subject.media_type).document(),
    }
    attach(repository, Manifest.write(manifest | ({"annotations": annotations} if annotations else {})))


def listed(repository: Repository, digest: str) -> tuple[str, ...]:
    """The digests of what is attached as a signature. Raises ShareError."""
    return tuple(one.digest for one in referrers(repository, digest, ARTIFACT_TYPE))


def read(repository: Repository, digest: str) -> tuple[bytes, bytes] | None:
    """(payload, signature) of an artifact; None for one that is no signature. Raises ShareError."""
    artifact_ = repository.manifest(digest)
    if [one.media_type for one in artifact_.layers] != [payload.MEDIA_TYPE, SIGNATURE]:
        return None
    signed, signature = artifact_.layers
    return (
        repository.blob(signed, most_bytes=payload.MOST_BYTES),
        repository.blob(signature, most_bytes=ssh.MOST_BYTES),
    )
