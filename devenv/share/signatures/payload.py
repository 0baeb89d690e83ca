"""What is signed: a text that binds the digest of a manifest and the repository that it is in.

Format: cosign's simple signing (SIGNATURE_SPEC.md), which is that of containers-signature(5).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from devenv.doors.settings.signature_rules import place
from devenv.doors.untrusted import from_json

if TYPE_CHECKING:
    from devenv.doors.http.registry.manifest import Manifest
    from devenv.doors.http.registry.reference import Reference

MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
MOST_BYTES = 64 << 10
_TYPE = "cosign container image signature"


def name_of(reference: Reference) -> str:
    """HOST/NAME, as signatures name a repository."""
    return place(f"{reference.host}/{reference.repository}")


def payload(manifest: Manifest, reference: Reference) -> bytes:
    """The text to sign: the same for the same manifest and repository, in ASCII."""
    document = {
        "critical": {
            "identity": {"docker-reference": name_of(reference)},
            "image": {"docker-manifest-digest": manifest.digest},
            "type": _TYPE,
        },
        "optional": None,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def mismatch(data: bytes, manifest: Manifest, reference: Reference) -> str | None:
    """Why a payload with a good signature does not speak of this manifest in this repository; None when it does."""
    try:
        critical = from_json(data)["critical"]
        kind, image = critical["type"], critical["image"]["docker-manifest-digest"]
        repository = critical["identity"]["docker-reference"]
    except (ValueError, LookupError, TypeError):
        return "its payload cannot be read"
    if kind != _TYPE or not isinstance(image, str) or not isinstance(repository, str):
        return "its payload is not that of an image's signature"
    if image != manifest.digest:
        return f"it signs another manifest: {image}"
    if place(repository) != name_of(reference):
        return f"it signs the image in another repository: {repository}"
    return None
