"""Keys in PEM files, as cosign takes them: ECDSA on P-256 with SHA-256. Needs `pip install 'devenv[sign]'`."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from devenv.doors import files
from devenv.errors import ShareError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

_MOST_BYTES = 64 << 10
_NEW = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -out key.pem"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key that signatures are checked with. `origin`: its file."""

    origin: str
    key: EllipticCurvePublicKey

    @property
    def digest(self) -> bytes:
        """SHA-256 of the key as SubjectPublicKeyInfo."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return hashlib.sha256(self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()

    @property
    def fingerprint(self) -> str:
        """The digest, written as OpenSSH writes those of its keys."""
        return f"ECDSA key SHA256:{base64.b64encode(self.digest).decode().rstrip('=')}"

    def made(self, signature: bytes, data: bytes) -> bool:
        """Whether the owner of this key signed the data."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            self.key.verify(signature, data, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PemKey:
    """A private key, opened."""

    public: PublicKey
    private: EllipticCurvePrivateKey = dataclasses.field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """The signature, in DER."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        return self.private.sign(data, ECDSA(SHA256()))


def require_library() -> None:
    """Raises ShareError when the extra is not installed."""
    if find_spec("cryptography") is None:
        raise ShareError(
            "keys in PEM files need the Python package cryptography, which is not installed",
            hint="pip install 'devenv[sign]'; signatures by SSH keys do not need it",
        )


def private_key(path: Path, passphrase: Callable[[Path], str]) -> PemKey:
    """Open a key; `passphrase` is called for one that is encrypted. Raises UsageError, ShareError."""
    require_library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path)
    try:
        try:
            key = load_pem_private_key(data, None)
        except TypeError:  # it is encrypted
            key = load_pem_private_key(data, passphrase(path).encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if b"PRIVATE KEY-----" not in data:
            raise _refused(path, "it holds no private key") from None
        if b"SIGSTORE" in data or b"COSIGN" in data or b"OPENSSH" in data:
            raise _refused(path, "it is a key in a format of its own program, not in PKCS #8") from None
        raise UsageError("cannot open the key: wrong passphrase, or a damaged file", where=str(path)) from None
    public = key.public_key()
    return PemKey(public=_p256(public, path, _refused), private=key)  # type: ignore[arg-type]  # by its public half


def public_key(data: bytes, path: Path, where: str) -> PublicKey:
    """The public key in a PEM file's bytes. `where`: what names the file. Raises UsageError, ShareError."""
    require_library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    def refused(_: Path, why: str) -> UsageError:
        return UsageError(
            f"{path} cannot check signatures: {why}",
            where=where,
            hint=f"write the public half of an ECDSA key on P-256: openssl pkey -in key.pem -pubout -out {path.name}",
        )

    try:
        key = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise refused(path, "it holds no public key in PEM") from None
    return _p256(key, path, refused)


def _p256(key: object, path: Path, refused: Callable[[Path, str], UsageError]) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise refused(path, "it is not an ECDSA key on P-256, which cosign requires")
    return PublicKey(origin=str(path), key=key)


def _read(path: Path) -> bytes:
    try:
        return files.read(path, most_bytes=_MOST_BYTES)
    except OSError as error:
        raise UsageError(
            f"cannot read the key to sign with: {files.reason(error)}",
            where=str(path),
            hint=f"name a file, or sign with your SSH key: --sign ssh; for a new key: {_NEW}",
        ) from None


def _refused(path: Path, why: str) -> UsageError:
    return UsageError(f"cannot sign with this key: {why}", where=str(path), hint=f"make one: {_NEW}")
