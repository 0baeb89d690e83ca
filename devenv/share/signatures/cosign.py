"""Signatures in cosign's two forms: layers of a manifest under the tag `sha256-HEX.sig`, and a Sigstore bundle.

Formats: cosign's SIGNATURE_SPEC.md and BUNDLE_SPEC.md, Sigstore's bundle 0.3, DSSE 1.0, in-toto statement 1.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from typing import TYPE_CHECKING

from devenv.doors.http.registry.faults import MissingError, wrong
from devenv.doors.http.registry.manifest import OCI_MANIFEST, Descriptor, Manifest
from devenv.doors.http.registry.push import push
from devenv.doors.http.registry.referrers import fallback_tag
from devenv.doors.http.registry.upload import Blob
from devenv.doors.terminal.progress import Silent
from devenv.share.signatures import payload
from devenv.share.signatures.attached import artifact

if TYPE_CHECKING:
    from devenv.doors.http.registry.reference import Reference
    from devenv.doors.http.registry.repository import Repository
    from devenv.share.signatures.pem import PemKey

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_ANNOTATION = "dev.cosignproject.cosign/signature"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MOST_SIGNATURE = 4096
_TRIES = 5
_STATEMENT = "application/vnd.in-toto+json"
_PREDICATE = "https://sigstore.dev/cosign/sign/v1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A signature in a registry: its bytes, and the payload to read."""

    signature: bytes
    payload: Descriptor


def tag(digest: str) -> str:
    """The tag of a manifest's signatures."""
    return f"{fallback_tag(digest)}.sig"


def listed(repository: Repository, digest: str) -> tuple[Stored, ...]:
    """The signatures under the tag. Layers that cannot be signatures are left out. Raises ShareError."""
    manifest = _manifest(repository, digest)
    return tuple(stored for layer in manifest.layers if (stored := _stored(layer))) if manifest else ()


def put(repository: Repository, subject: Manifest, reference: Reference, key: PemKey) -> None:
    """Sign a manifest in both forms, unless this key has. Raises ShareError."""
    signed = payload.payload(subject, reference)
    if not _has(_manifest(repository, subject.digest), key, signed):
        # First, because the signature under the tag says that both are there.
        notes = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": _PREDICATE}
        artifact(repository, subject, BUNDLE, ((bundle(subject, reference, key), BUNDLE),), notes)
        add(repository, subject, key, signed)


def add(repository: Repository, subject: Manifest, key: PemKey, signed: bytes) -> None:
    """Add this key's signature of a payload to those under the tag. Raises ShareError.

    The manifest is read, completed, written and read again: two that write it at the same moment would otherwise lose
    one of the two.
    """
    described = Descriptor.of(signed, payload.MEDIA_TYPE)
    push(repository, [Blob(descriptor=described, content=signed)], Silent())
    text = base64.b64encode(key.sign(signed)).decode()
    mine = dataclasses.replace(described, annotations=((_ANNOTATION, text),))
    for _ in range(_TRIES):
        manifest = _manifest(repository, subject.digest)
        if _has(manifest, key, signed):
            return
        _write(repository, subject.digest, (*(manifest.layers if manifest else ()), mine))
    raise wrong(
        f"sign {repository.label(subject.digest)}", repository.registry.host,
        f"keeps losing the signature from the tag {tag(subject.digest)}", "another program writes it too; run it again",
    )  # fmt: skip


def bundle(subject: Manifest, reference: Reference, key: PemKey) -> bytes:
    """A Sigstore bundle with a statement about a manifest, without a log."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": payload.name_of(reference), "digest": {"sha256": subject.described().hex}}],
        "predicateType": _PREDICATE,
        "predicate": {},
    }
    body = json.dumps(statement, separators=(",", ":")).encode()
    encoded = b"DSSEv1 %d %s %d %s" % (len(_STATEMENT), _STATEMENT.encode(), len(body), body)
    envelope = {
        "payload": base64.b64encode(body).decode(),
        "payloadType": _STATEMENT,
        "signatures": [{"sig": base64.b64encode(key.sign(encoded)).decode()}],
    }
    material = {"publicKey": {"hint": base64.b64encode(key.public.digest).decode()}, "tlogEntries": []}
    document = {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}
    return json.dumps(document, separators=(",", ":")).encode()


def _manifest(repository: Repository, digest: str) -> Manifest | None:
    try:
        return repository.manifest(tag(digest))
    except MissingError:
        return None


def _has(manifest: Manifest | None, key: PemKey, signed: bytes) -> bool:
    """Whether a key's signature of a payload is there."""
    digest = Descriptor.of(signed, payload.MEDIA_TYPE).digest
    found = [_stored(layer) for layer in manifest.layers if layer.digest == digest] if manifest else []
    return any(key.public.made(one.signature, signed) for one in found if one)


def _stored(layer: Descriptor) -> Stored | None:
    text = dict(layer.annotations).get(_ANNOTATION, "")
    if layer.media_type != payload.MEDIA_TYPE or not 0 < len(text) <= _MOST_SIGNATURE:
        return None
    try:
        return Stored(signature=base64.b64decode(text, validate=True), payload=layer)
    except (binascii.Error, ValueError):
        return None


def _write(repository: Repository, digest: str, layers: tuple[Descriptor, ...]) -> None:
    """An image whose layers are the payloads, which is what cosign reads and writes."""
    rootfs = {"type": "layers", "diff_ids": [one.digest for one in layers]}
    config = json.dumps({"architecture": "", "os": "", "config": {}, "rootfs": rootfs}).encode()
    described = Descriptor.of(config, _CONFIG)
    push(repository, [Blob(descriptor=described, content=config)], Silent())
    manifest = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described.document(),
        "layers": [one.document() for one in layers],
    }  # fmt: skip
    repository.put(Manifest.write(manifest), tag(digest))
