from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devenv.errors import LockError
from devenv.fetch import declared
from devenv.fetch.declared import Kind, check, check_all, claims
from devenv.fetch.store import Store
from devenv.lock.model import Artifact, Deb, Lock
from tests.unit import examples
from tests.unit.packages import deb, packed, pax, tar, tarball, vsix, wheel


def spoilt(body: bytes, at: int) -> bytes:
    """With other bytes from there on, as a damaged disk has them."""
    return body[:at] + bytes(255 - byte for byte in body[at : at + 20]) + body[at + 20 :]


CONTROL = "Package: bash\nVersion: 1:5.2-1\nArchitecture: amd64\nDescription: x\n y\n"


def checked(tmp_path: Path, kind: Kind, body: bytes, name: str, version: str, **more: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(body)
    fields = {"name": name, "version": version, "file": "file", "size": len(body), "sha256": "0" * 64}
    check(Deb(**fields, **more) if kind == "deb" else Artifact(**fields), kind, path)


DEB = {"arch": "amd64", "path": "pool/b.deb", "suite": "bookworm"}


@pytest.mark.parametrize("how", [".xz", ".gz", ".zst", ""])
def test_a_debian_package_has_the_locks_name_version_and_architecture(tmp_path: Path, how: str) -> None:
    checked(tmp_path, "deb", deb(CONTROL, how), "bash", "1:5.2-1", **DEB)
    for name, version, arch in (("dash", "1:5.2-1", "amd64"), ("bash", "1:5.2-2", "amd64"), ("bash", "1:5.2-1", "all")):
        with pytest.raises(LockError, match=r"is bash 1:5\.2-1 amd64, and not"):
            checked(tmp_path, "deb", deb(CONTROL, how), name, version, **{**DEB, "arch": arch})


@pytest.mark.parametrize(
    ("kind", "body", "name", "version"),
    [
        ("wheel", wheel("Foo_Bar.baz", "1.0.0"), "foo-bar-baz", "1.0"),
        ("wheel", wheel("torch", "2.10.0+cpu"), "torch", "2.10.0+cpu"),
        ("tarball", tarball("@acme/tool", "1.2.3+build"), "@acme/tool", "1.2.3"),
        ("tarball", tarball("left", "1.0.0", "left-folder"), "left", "1.0.0"),
        ("release", tarball("code-server", "4.1.2", "code-server-4.1.2-linux-amd64"), "code-server", "4.1.2"),
        ("extension", vsix("Acme", "Tool", "1.2.3"), "acme.tool", "1.2.3"),
    ],
    ids=lambda one: one if isinstance(one, str) else "bytes",
)
def test_a_file_is_what_the_lock_says_in_the_forms_that_its_kind_takes_for_equal(
    tmp_path: Path, kind: Kind, body: bytes, name: str, version: str
) -> None:
    checked(tmp_path, kind, body, name, version)
    with pytest.raises(LockError, match="and not other"):
        checked(tmp_path, kind, body, "other", version)
    with pytest.raises(LockError, match=r"and not .* 9\.9\.9"):
        checked(tmp_path, kind, body, name, "9.9.9")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("deb", b""),
        ("deb", b"!<arch>\n"),
        ("deb", b"!<arch>\n" + b"x" * 60),
        ("deb", deb(CONTROL)[:150]),
        ("deb", deb("no fields here")),
        ("deb", deb(CONTROL, ".gz").replace(b"\x1f\x8b\x08", b"\x1f\x8b\x09")),
        ("deb", spoilt(deb(CONTROL, ".gz"), 150)),
        ("deb", spoilt(deb(CONTROL, ".zst"), 140)),
        ("deb", spoilt(deb(CONTROL, ".xz"), 160)),
        ("wheel", spoilt(wheel("bash", "1.0"), 60)),
        ("tarball", spoilt(tarball("bash", "1.0"), 12)),
        ("wheel", b"no zip"),
        ("wheel", packed(name="x")),
        ("tarball", b"no gzip"),
        ("tarball", gzip.compress(tar(name=b"x"))),
        ("tarball", gzip.compress(tar(**{"package/package.json": b"[" * 100_000}))),
        ("tarball", gzip.compress(tar(**{"package/package.json": b"[]"}))),
        ("tarball", gzip.compress(tar(**{"package/package.json": b'{"name": 1, "version": null}'}))),
        ("extension", packed(**{"extension/package.json": "{}"})),
    ],
    ids=lambda one: one if isinstance(one, str) else "bytes",
)
def test_a_file_that_does_not_say_its_name_is_refused(tmp_path: Path, kind: Kind, body: bytes) -> None:
    with pytest.raises(LockError, match="cannot be read as"):
        checked(tmp_path, kind, body, "bash", "1.0", **(DEB if kind == "deb" else {}))


NAMED = json.dumps({"publisher": "gnu", "name": "bash", "version": "1.0"}).encode()


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("tarball", lambda: gzip.compress(bytes(20 << 20), 1)),
        ("tarball", lambda: gzip.compress(tar(**{"package/package.json": NAMED.ljust(2 << 20)}), 1)),
        ("tarball", lambda: gzip.compress(pax(5 << 20) + tar(**{"package/package.json": NAMED}), 1)),
        ("extension", lambda: packed(**{"extension/package.json": NAMED.ljust(20 << 20).decode()})),
    ],
)
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, make: Callable[[], bytes]
) -> None:
    monkeypatch.setattr(declared, "_MOST_TEXT_BYTES", 1 << 20)
    with pytest.raises(LockError, match="cannot be read as"):
        checked(tmp_path, kind, make(), "bash", "1.0")


def _of_this_name(one: Artifact, kind: Kind) -> bytes:
    if isinstance(one, Deb):
        return deb(f"Package: {one.name}\nVersion: {one.version}\nArchitecture: {one.arch}\n")
    if kind == "wheel":
        return wheel(one.name, one.version)
    return vsix(*one.name.split("."), one.version) if kind == "extension" else tarball(one.name, one.version)


def _filled(store: Store) -> Lock:
    """A lock of every kind of file, all of them in the store under their hashes."""
    made = examples.lock(npm=examples.npm(), extensions=(examples.extension(),))
    text = made.dump()
    for one, kind in claims(made):
        body = _of_this_name(one, kind)
        sha256 = hashlib.sha256(body).hexdigest()
        text = text.replace(one.sha256, sha256)
        path = store.path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return Lock.model_validate(json.loads(text))


def test_every_file_of_a_lock_is_held_to_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = _filled(store)
    assert {one.sha256 for one, _ in claims(made)} == {one.sha256 for one in made.artifacts()}
    assert {kind for _, kind in claims(made)} == {"deb", "wheel", "tarball", "extension"}
    check_all(made, store)
    for one, kind in claims(made):
        wrong = one.model_copy(update={"version": "99"})
        with pytest.raises(LockError):
            check(wrong, kind, store.path(one.sha256))
    other = made.model_copy(update={"uv": made.uv.model_copy(update={"version": "99"})})
    with pytest.raises(LockError, match="and not uv 99"):
        check_all(other, store)


def test_a_file_of_another_lock_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    made = _filled(store)
    check_all(made, store)
    read: list[str] = []
    monkeypatch.setattr(declared, "check", lambda artifact, *_: read.append(artifact.name))
    renamed = made.uv.model_copy(update={"version": "99"})
    check_all(made.model_copy(update={"uv": renamed}), store)
    assert read == ["uv"], "the same file, of which this lock says something else"
    next(store.every_kept("declared")).write_text("edited")
    (note,) = store.every_kept("declared")
    assert note.read_text() != "edited"
