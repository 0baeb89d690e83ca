"""Sign a manifest that is in a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors.http.registry.client import Registry
from devenv.doors.http.registry.repository import Repository
from devenv.errors import ShareError
from devenv.share.signatures import attached, cosign, ssh
from devenv.share.signatures.payload import payload
from devenv.share.signatures.pem import PemKey, private_key

if TYPE_CHECKING:
    from devenv.doors.cancellation import Cancellation
    from devenv.doors.http.registry.manifest import Manifest
    from devenv.doors.http.registry.reference import Reference
    from devenv.doors.settings.settings import Settings

SSH = "ssh"


def signing_key(how: str, settings: Settings, passphrase: Callable[[Path], str]) -> ssh.SshKey | PemKey:
    """The key for `ssh` or for the path of a PEM file; `passphrase` is called for an encrypted one. Called before a
    push, so that a mistake costs none. Raises UsageError, ShareError."""
    return ssh.find_key(settings) if how == SSH else private_key(Path(how).expanduser(), passphrase)


def sign_pushed(
    reference: Reference, digest: str, key: ssh.SshKey | PemKey, settings: Settings, cancel: Cancellation
) -> str:
    """Sign what a push has put into a registry; kind and fingerprint of the key. Outside of a live list of stages,
    because ssh-keygen may ask on the terminal. Raises ShareError, CancelledError."""
    with Registry(reference.host, settings, cancel=cancel) as registry:
        repository = Repository(registry, reference.repository, writing=True)
        try:
            return sign(repository, repository.manifest(digest), reference, key)
        except ShareError as error:
            why = f"{repository.label(digest)} is pushed, but not signed: {error.message}"
            raise ShareError(why, where=error.where, detail=error.detail, hint=error.hint) from None


def sign(repository: Repository, manifest: Manifest, reference: Reference, key: ssh.SshKey | PemKey) -> str:
    """Sign a manifest and put the signature beside it; kind and fingerprint of the key. Signing twice changes nothing
    where the key gives the same signature twice. Raises ShareError, CancelledError."""
    if isinstance(key, PemKey):
        cosign.put(repository, manifest, reference, key)
        return key.public.fingerprint
    signed = payload(manifest, reference)
    signature = ssh.sign(key, signed)
    attached.put(repository, manifest, signed, signature)
    return ssh.fingerprint(signature, signed, repository.registry.cancel)
