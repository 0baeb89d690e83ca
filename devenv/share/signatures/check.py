"""Whether an image has the signatures that it needs: asked before anything of it is downloaded or used."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from devenv.doors.http.registry.faults import DeniedError, RegistryError
from devenv.errors import ShareError, UsageError
from devenv.preset.yaml.nodes import display
from devenv.share.signatures import attached, cosign, payload, pem, ssh
from devenv.share.signatures.policy import policy as policy_for

if TYPE_CHECKING:
    from pathlib import Path

    from devenv.doors.http.registry.manifest import Manifest
    from devenv.doors.http.registry.reference import Reference
    from devenv.doors.http.registry.repository import Repository
    from devenv.share.signatures.policy import Demand

T = TypeVar("T")
_MOST_SIGNATURES = 64
"""Of one kind and one image. Whoever may push can attach more; then none is accepted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signed: a principal of the allowed signers, or the file of a public key. `key`: kind and fingerprint;
    `demand`: what required the signature."""

    name: str
    key: str
    demand: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """One signature: who made it, or why it does not count."""

    signature: str
    name: str = ""
    key: str = ""
    why: str = ""


def check(
    repository: Repository, manifest: Manifest, reference: Reference, policy: Sequence[Demand]
) -> tuple[Signer, ...]:
    """Who signed, one for each demand; one good signature among several meets it.

    Raises ShareError when a demand is not met, UsageError for allowed signers or a key that cannot be used,
    CancelledError.
    """
    image = _Image(repository=repository, manifest=manifest, reference=reference)
    return tuple(image.signer(demand) for demand in policy)


def require(
    repository: Repository, manifest: Manifest, reference: Reference, project: Path | None
) -> tuple[Signer, ...]:
    """Check what this user's settings and a project's policy require of an image; empty when they require nothing.
    Raises as `check` does, and UsageError for a policy that cannot be used."""
    return check(repository, manifest, reference, policy_for(reference, repository.registry.settings, project))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    repository: Repository
    manifest: Manifest
    reference: Reference

    def signer(self, demand: Demand) -> Signer:
        refused = []
        for judge in (self._by_ssh, self._by_keys):
            for judged in judge(demand):
                if judged.name:
                    return Signer(name=judged.name, key=judged.key, demand=demand.where)
                refused.append(f"{judged.signature}: {judged.why}")
        label = self.repository.label(self.manifest.digest)
        signers = display(demand.rule.allowed_signers or demand.rule.keys[0])
        if not refused:
            raise ShareError(
                f"{label} is not signed, and a signature is required",
                where=demand.where,
                hint=f"ask its owner to push it with --sign ssh; {signers} lists who may sign",
            )
        raise ShareError(
            f"{label} has no signature that is accepted, and one is required",
            where=demand.where,
            detail="\n".join(refused),
            hint=f"do not use the image until you know the reason; {signers} lists who may sign",
        )

    def _by_ssh(self, demand: Demand) -> Iterator[_Judged]:
        if (path := demand.rule.allowed_signers) is None:
            return
        signers = demand.read(path)
        if ssh.nobody(signers):
            raise UsageError(
                f"{display(path)} lists nobody who may sign",
                where=demand.where,
                hint="write a line for each signer: NAME, then kind and key as in ~/.ssh/id_ed25519.pub",
            )
        for digest in self._counted(attached.listed(self.repository, self.manifest.digest)):
            try:
                yield self._of_ssh(digest, signers)
            except DeniedError:
                raise
            except RegistryError as error:  # anyone who may push can attach what cannot be read
                yield _Judged(signature=digest, why=_said(error))

    def _of_ssh(self, digest: str, signers: bytes) -> _Judged:
        read = attached.read(self.repository, digest)
        if read is None:
            return _Judged(signature=digest, why="it is not a signature of devenv's form")
        signed, signature = read
        verdict = ssh.check(signature, signed, signers, self.repository.registry.cancel)
        if not verdict.principal:
            return _Judged(signature=digest, why=verdict.why)
        return self._bound(_Judged(signature=digest, name=verdict.principal, key=verdict.key), signed)

    def _by_keys(self, demand: Demand) -> Iterator[_Judged]:
        if not demand.rule.keys:
            return
        keys = [pem.public_key(demand.read(path), path, demand.where) for path in demand.rule.keys]
        stored = self._counted(cosign.listed(self.repository, self.manifest.digest))
        for number, one in enumerate(stored, 1):
            name = f"{cosign.tag(self.manifest.digest)}, signature {number}"
            try:
                yield self._of_key(name, one, keys)
            except DeniedError:
                raise
            except RegistryError as error:
                yield _Judged(signature=name, why=_said(error))

    def _of_key(self, name: str, stored: cosign.Stored, keys: Sequence[pem.PublicKey]) -> _Judged:
        signed = self.repository.blob(stored.payload, most_bytes=payload.MOST_BYTES)
        key = next((key for key in keys if key.made(stored.signature, signed)), None)
        if key is None:
            return _Judged(signature=name, why="no key that may sign made it, or it or its payload was altered")
        return self._bound(_Judged(signature=name, name=key.origin, key=key.fingerprint), signed)

    def _bound(self, judged: _Judged, signed: bytes) -> _Judged:
        """A good signature, if it is one of this image in this repository."""
        why = payload.mismatch(signed, self.manifest, self.reference)
        return _Judged(signature=judged.signature, why=f"{judged.name} made it, but {why}") if why else judged

    def _counted(self, found: Sequence[T]) -> Sequence[T]:
        if len(found) > _MOST_SIGNATURES:
            raise ShareError(
                f"{self.repository.label(self.manifest.digest)} has {len(found):,} signatures, "
                f"and {_MOST_SIGNATURES} are the most that are checked",
                hint="ask the registry's administrator to remove those that nobody needs",
            )
        return found


def _said(error: RegistryError) -> str:
    return f"it cannot be read: {error.detail or error.message}"
