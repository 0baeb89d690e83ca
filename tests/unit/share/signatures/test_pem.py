from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from devenv.errors import ShareError, UsageError
from devenv.share.signatures import pem
from devenv.share.signatures.pem import private_key, public_key

PRIVATE = ec.generate_private_key(ec.SECP256R1())
PASSPHRASE = "corr3ct"


def never(path: Path) -> str:
    raise AssertionError(f"no passphrase is needed for {path}")


def written(
    path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, *, encrypted: bool = False
) -> Path:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if encrypted:
        encryption = serialization.BestAvailableEncryption(PASSPHRASE.encode())
    pkcs8 = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, encryption))
    return path


def shown(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_what_one_half_signs_the_other_accepts(tmp_path: Path) -> None:
    key = private_key(written(tmp_path / "key.pem", PRIVATE), never)
    other = public_key(shown(PRIVATE.public_key()), Path("key.pub.pem"), "config.yaml")
    signature = key.sign(b"data")
    assert other.made(signature, b"data")
    assert not other.made(signature, b"dat4")
    assert not other.made(signature[:-1], b"data")
    assert not other.made(b"", b"data")
    assert (other.origin, other.fingerprint) == ("key.pub.pem", key.public.fingerprint)
    assert other.fingerprint.startswith("ECDSA key SHA256:")


@given(st.binary(max_size=80), st.binary(max_size=20))
def test_bytes_of_strangers_are_no_signature(signature: bytes, data: bytes) -> None:
    assert not public_key(shown(PRIVATE.public_key()), Path("key.pem"), "config.yaml").made(signature, data)


def test_an_encrypted_key_asks_for_its_passphrase(tmp_path: Path) -> None:
    path = written(tmp_path / "key.pem", PRIVATE, encrypted=True)
    asked = []
    key = private_key(path, lambda one: asked.append(one) or PASSPHRASE)  # type: ignore[func-returns-value]
    assert asked == [path]
    assert key.public.made(key.sign(b"data"), b"data")
    for wrong in ("", "wrong"):
        with pytest.raises(UsageError, match="wrong passphrase") as caught:
            private_key(path, lambda _, wrong=wrong: wrong)  # type: ignore[misc]
        assert caught.value.where == str(path)


def test_keys_that_cannot_sign(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    cases = {
        "it holds no private key": shown(PRIVATE.public_key()),
        "it holds no private key ": b"\xff\x00",
        "format of its own program": b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END",
        "format of its own program ": b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END",
        "a damaged file": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "not an ECDSA key": written(tmp_path / "ed", ed25519.Ed25519PrivateKey.generate()).read_bytes(),
        "not an ECDSA key on P-256": written(tmp_path / "384", ec.generate_private_key(ec.SECP384R1())).read_bytes(),
        "larger than 64 KiB": bytes(70_000),
    }
    for why, data in cases.items():
        path.write_bytes(data)
        with pytest.raises(UsageError, match=why.strip()) as caught:
            private_key(path, never)
        assert caught.value.where == str(path)
    with pytest.raises(UsageError, match="the file does not exist") as caught:
        private_key(tmp_path / "gone", never)
    assert "--sign ssh" in str(caught.value.hint)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        shown(ed25519.Ed25519PrivateKey.generate().public_key()),
        shown(ec.generate_private_key(ec.SECP384R1()).public_key()),
    ],
)  # fmt: skip
def test_keys_that_cannot_check(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"team\.pem cannot check signatures") as caught:
        public_key(data, Path("/etc/team.pem"), "config.yaml: require_signature: r.example")
    assert caught.value.where == "config.yaml: require_signature: r.example"
    assert "openssl pkey" in str(caught.value.hint)


def test_without_the_extra_there_is_an_error_and_no_silent_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pem, "find_spec", lambda _: None)
    with pytest.raises(ShareError, match="not installed") as caught:
        public_key(shown(PRIVATE.public_key()), Path("key.pem"), "config.yaml")
    assert "devenv[sign]" in str(caught.value.hint)
    with pytest.raises(ShareError, match="not installed"):
        private_key(Path("key.pem"), never)
