"""One repository of a registry: manifests by tag or digest, and small blobs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from devenv.doors.http.registry.client import Call
from devenv.doors.http.registry.faults import MissingError, wrong
from devenv.doors.http.registry.manifest import MEDIA_TYPES, MOST_BYTES, Descriptor, Manifest, digest_of
from devenv.doors.http.registry.reference import is_digest

if TYPE_CHECKING:
    from devenv.doors.http.connections import Answer
    from devenv.doors.http.registry.auth import Scopes
    from devenv.doors.http.registry.client import Registry

_MOST_BLOB_BYTES = 8 << 20
_ANY = digest_of(b"{}")


class Repository:
    """Requests to one repository. `writing`: its tokens are requested with the right to push from the beginning."""

    def __init__(self, registry: Registry, name: str, *, writing: bool = False) -> None:
        self.registry = registry
        self.name = name
        self.scopes: Scopes = frozenset({f"repository:{name}:{'pull,push' if writing else 'pull'}"})

    def __str__(self) -> str:
        return f"{self.registry.host}/{self.name}"

    def path(self, *parts: str) -> str:
        """A path of the API below this repository."""
        return f"/v2/{self.name}/{'/'.join(parts)}"

    def label(self, version: str) -> str:
        """A manifest's name, for messages."""
        return f"{self}{'@' if is_digest(version) else ':'}{version}"

    def check(self) -> None:
        """Log in, before the work that a push needs. Raises RegistryError for a registry that cannot be reached or
        refuses the login; the right to push shows with the first blob alone."""
        call = Call(
            what=f"push to {self}", url=self.path("blobs", _ANY), scopes=self.scopes, method="HEAD", expect=(200, 404)
        )
        self.registry.ask(call, lambda _: None)

    def manifest(self, version: str) -> Manifest:
        """The manifest or index of a tag or digest, checked. Raises RegistryError (MissingError, DeniedError)."""
        what = f"read the manifest {self.label(version)}"
        accept = {"Accept": ", ".join(MEDIA_TYPES)}
        call = Call(what=what, url=self.path("manifests", version), scopes=self.scopes, headers=accept)
        data, kind, header = self.registry.ask(
            call,
            lambda answer: (
                self.body(answer, MOST_BYTES, what),
                answer.headers.get("content-type", ""),
                answer.headers.get("docker-content-digest", ""),
            ),
        )
        try:
            manifest = Manifest.read(data, kind)
        except ValueError as error:
            raise wrong(what, self.registry.host, f"sends a manifest that cannot be used: {error}") from None
        # For a tag, only the registry states the digest; for a digest, its statement does not count.
        expected = version if is_digest(version) else header if is_digest(header) else manifest.digest
        if manifest.digest != expected:
            raise wrong(what, self.registry.host, f"sends another manifest: {manifest.digest}, not {expected}")
        return manifest

    def find(self, version: str) -> Descriptor | None:
        """What a tag or digest leads to, without reading it where the response headers suffice; None without such a
        manifest. Raises RegistryError."""
        call = Call(
            what=f"look for {self.label(version)}", url=self.path("manifests", version), scopes=self.scopes,
            method="HEAD", headers={"Accept": ", ".join(MEDIA_TYPES)},
        )  # fmt: skip
        try:
            digest, length, kind = self.registry.ask(
                call,
                lambda answer: tuple(
                    answer.headers.get(name, "") for name in ("docker-content-digest", "content-length", "content-type")
                ),
            )
            if is_digest(digest) and length.isdigit() and kind in MEDIA_TYPES:
                return Descriptor(media_type=kind, digest=digest, size=int(length))
            manifest = self.manifest(version)
        except MissingError:
            return None
        return Descriptor.of(manifest.data, manifest.media_type)

    def put(self, manifest: Manifest, tag: str | None = None) -> bool:
        """Push a manifest, by its digest or with a tag; whether the registry lists it under its subject.

        All that it refers to must be there. Raises RegistryError.
        """
        version = tag or manifest.digest
        what = f"push the manifest {self.label(version)}"
        call = Call(
            what=what, url=self.path("manifests", version), scopes=self.scopes, method="PUT",
            headers={"Content-Type": manifest.media_type}, body=manifest.data, expect=(200, 201, 202),
        )  # fmt: skip
        digest, subject = self.registry.ask(
            call,
            lambda answer: (answer.headers.get("docker-content-digest", ""), answer.headers.get("oci-subject", "")),
        )
        if digest and digest != manifest.digest:
            raise wrong(what, self.registry.host, f"stored another manifest: {digest}, not {manifest.digest}")
        return bool(subject)

    def has(self, digest: str) -> bool:
        """Whether a blob is there. Raises RegistryError."""
        call = Call(
            what=f"look for {digest} in {self}", url=self.path("blobs", digest), scopes=self.scopes, method="HEAD",
            expect=(200, 404),
        )  # fmt: skip
        return self.registry.ask(call, lambda answer: answer.status == 200)

    def blob(self, wanted: Descriptor, *, most_bytes: int = _MOST_BLOB_BYTES) -> bytes:
        """A small blob, verified. Raises RegistryError, also for one of more than `most_bytes`."""
        what = f"read {wanted.digest} of {self}"
        if wanted.size > most_bytes:
            raise wrong(what, self.registry.host, f"names {wanted.size:,} bytes, and {most_bytes:,} are the most here")
        call = Call(
            what=what, url=self.path("blobs", wanted.digest), scopes=self.scopes,
            headers={"Accept-Encoding": "identity"},
        )  # fmt: skip
        data = self.registry.ask(call, lambda answer: self.body(answer, wanted.size, what))
        if len(data) != wanted.size or f"sha256:{hashlib.sha256(data).hexdigest()}" != wanted.digest:
            raise wrong(what, self.registry.host, f"sends other bytes than {wanted.digest} ({wanted.size:,} bytes)")
        return data

    def body(self, answer: Answer, most_bytes: int, what: str) -> bytes:
        """A body to its end. Raises RegistryError for a larger one, Again for a cut one."""
        length = answer.headers.get("content-length", "")
        data = bytearray()
        while len(data) <= most_bytes and not (length.isdigit() and int(length) > most_bytes):
            piece = answer.read()
            if not piece:
                return bytes(data)
            data += piece
        raise wrong(what, self.registry.host, f"sends more than {most_bytes:,} bytes")
