"""What is found in files, where, and what is no secret."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import re
import sys
import tarfile
import uuid
import zipfile
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser
from typing import Any

import pytest
import zstandard

from devenv.secrets import archives, assignments, paths, scanner, tokens, values, window
from devenv.secrets.finding import Finding
from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import CONTEXT_BYTES, MOST_FINDINGS, WINDOW_BYTES, Scanner
from tests.unit.secrets.planted import ALNUM, HEX, Maker

TOKEN = "hf_" + Maker(7).of(ALNUM, 34)


def _kinds(text: str | bytes, path: str = "/workspace/x.txt") -> set[str]:
    return {one.kind for one in _scan(text, path)}


def _scan(text: str | bytes, path: str = "/workspace/x.txt") -> tuple[Finding, ...]:
    return Scanner(KnownValues()).file(path, [text.encode() if isinstance(text, str) else text])


def test_a_finding_names_path_kind_reason_and_line() -> None:
    assert _scan(f"one\ntwo {TOKEN}\n", "/a/b") == (
        Finding(path="/a/b", kind="huggingface-token", reason="a token of Hugging Face", line=2),
    )


MAKE = Maker(3)
SHA256 = hashlib.sha256(b"x").hexdigest()
NEAR = {
    "a hash of a lock file": f'requests==2.0 --hash=sha256:{SHA256}\n"integrity": "sha512-{MAKE.of(ALNUM, 86)}=="',
    "a hash by a key's name": f'token_sha256 = "{SHA256}"\ncache_key: {SHA256}',
    "a UUID": f"id = {uuid.UUID(int=7**45)}\nsession: {uuid.UUID(int=5**54)}",
    "a placeholder": 'password = "your-password-here"\nAPI_KEY=changeme123\npassword: <password>\npasswd="example123"',
    "a reference": 'password = "${DB_PASSWORD}"\nsecret: {{ vault_secret }}\ntoken = os.environ["TOKEN_OF_THE_ROBOT_1"]',
    "a name": "password_field = Utf8PasswordField\nnew_token = Deb822NewlineAfterValueToken()\nsecret = get_secret_value2",
    "a word": 'password = "password"\npassword="hunter2"\nsecret = "secret"\nlogin(password="correct horse")',
    "code": 'def f(password: str = "", *, token_type="bearer_token_type"):\n    assert password == other.password_1',
    "a library": '"libsecret-1.so.0": "libsecret-1-0",\n"oauth": "google-auth-library-oauth2-http"',
    "an address": "https://user:password@example.com/ ssh://git@host/x.git http://[::1]:8080/a@b cvs://:pserver:anoncvs@h",
    "a manual's netrc": "machine example.org login apt password Debian12\ndefault login anonymous password user@site",
    "the JWT of every manual": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzb21lIjoicGF5bG9hZCJ9.4twFt5NiznN84AWoo1d7KO1T_yoc0Z6XOpOVswacPZg",
    "the keys of AWS's manual": "AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "base64 of a placeholder": "auth: '{0}'\ntoken = '{0}'\npassword: '{1}'".format(
        base64.b64encode(b"ada:not my real password").decode(), base64.b64encode(b"not my real password").decode()
    ),
    "a public key": f"-----BEGIN PUBLIC KEY-----\n{MAKE.of(ALNUM, 64)}\n-----END PUBLIC KEY-----\nssh-ed25519 AAAAC3{MAKE.of(ALNUM, 60)} a@b",
    "a certificate": f"-----BEGIN CERTIFICATE-----\n{MAKE.of(ALNUM, 64)}\n{MAKE.of(ALNUM, 64)}\n-----END CERTIFICATE-----\n",
    "a header in code": 'if line.startswith("-----BEGIN RSA PRIVATE KEY-----"):\n    raise ValueError("-----BEGIN PRIVATE KEY-----")',
    "an identifier with a token's beginning": "hf_hub_download_with_progress_bar\nsk-learn-contrib-packages-list\nnpm_config_userconfig_path_of_the_user",
    "base64 of a picture": f'"image/png": "iVBORw0KGgo{MAKE.of(ALNUM, 400)}"',
    "letters that count up": 'api_key = "abcdefghijklmnopqrstuvwxyz0123456789"\ntoken: 0123456789abcdef0123456789abcdef',
    "a commit": f"git checkout {MAKE.of(HEX, 40)}\ncommit_id: {MAKE.of(HEX, 40)}",
}  # fmt: skip


@pytest.mark.parametrize("what", NEAR)
def test_what_only_looks_like_a_secret_is_none(what: str) -> None:
    assert _scan(NEAR[what]) == ()


def test_random_words_are_judged_by_their_name() -> None:
    value = MAKE.of(HEX, 40)
    assert _kinds(f"wandb_api_key = {value}") == {"token"}
    assert _kinds(f"revision = {value}") == set()


# ---- places


@pytest.mark.parametrize(
    "at", [0, WINDOW_BYTES - CONTEXT_BYTES - 10, WINDOW_BYTES - 5, WINDOW_BYTES, 2 * WINDOW_BYTES + 3]
)
@pytest.mark.parametrize("chunk", [64 << 10, 5 << 20])
def test_a_secret_is_found_once_wherever_it_lies(at: int, chunk: int) -> None:
    text = (b"word \n" * (at // 6 + 1))[:at] + b" " + TOKEN.encode() + b"\n" + b"more \n" * 400_000
    chunks = (text[start : start + chunk] for start in range(0, len(text), chunk))
    found = Scanner(KnownValues()).file("x", chunks)
    assert [one.line for one in found] == [text[:at].count(b"\n") + 1]


def test_windows_stay_small() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x = 1\n" * 100_000

    sizes = [len(one.data) for one, _ in scanner._windows(endless())]
    assert max(sizes) <= 2 * WINDOW_BYTES + 2 * CONTEXT_BYTES
    assert sum(sizes) < 40 * 600_000 * 1.1


@pytest.mark.parametrize("size", [1 << 14, 1 << 20, 3 << 20])
def test_every_byte_is_judged_once_with_bytes_around_it(size: int) -> None:
    whole = b"".join(b"%07d\n" % number for number in range(400_000))
    chunks = (whole[at : at + size] for at in range(0, len(whole), size))
    windows = [one for one, _ in scanner._windows(chunks)]
    assert len(windows) >= 3
    assert b"".join(one.data[one.low : one.high] for one in windows) == whole
    assert all(one.low == CONTEXT_BYTES for one in windows[1:])
    assert all(len(one.data) - one.high == CONTEXT_BYTES for one in windows[:-1])


def test_many_findings_of_one_file_are_cut() -> None:
    make = Maker(9)
    assert len(_scan("\n".join("ghp_" + make.of(ALNUM, 36) for _ in range(200)))) == MOST_FINDINGS


def test_a_notebook_names_its_cell() -> None:
    book: dict[str, Any] = {"nbformat": 4, "cells": [
        {"cell_type": "code", "source": ["a = 1\n", f"login('{TOKEN}')"], "outputs": []},
        {"cell_type": "code", "source": [], "outputs": [
            {"output_type": "display_data", "data": {"image/png": TOKEN, "text/plain": ["'" + TOKEN + "'"]}}]},
    ]}  # fmt: skip
    reasons = [one.reason for one in _scan(json.dumps(book), "/workspace/a.ipynb")]
    assert reasons == ["a token of Hugging Face, in cell 1", "a token of Hugging Face, in cell 2, output"]


@pytest.mark.parametrize(
    "text", [b"{", b"[1]", b'{"cells": 3}', b"[" * 100_000, b'{"cells": [[], null, {"source": 4}]}']
)
def test_no_notebook_is_read_as_text(text: bytes) -> None:
    assert _kinds(text + f"\n{TOKEN}".encode(), "a.ipynb") == {"huggingface-token"}


def test_binary_keys_and_memory_dumps_are_known_by_their_first_bytes() -> None:
    core = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x04\x00" + bytes(50)
    assert _kinds(core, "/workspace/x") == {"dump"}
    assert _kinds(core.replace(b"\x04\x00", b"\x03\x00"), "/workspace/x") == set()
    der = b"\x30\x82\x04\xa4\x02\x01\x00\x02\x82\x01\x01\x00"
    assert _kinds(der, "a.der") == {"private-key"}
    assert _kinds(der, "a.bin") == set()


# ---- archives


def _zip(method: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        archive.writestr("empty/", "")
        archive.writestr("first.txt", "nothing " * 1000)
        archive.writestr("deep/second.txt", f"t {TOKEN}")
    return data.getvalue()


def _streamed_zip() -> bytes:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first.txt", "nothing")
        archive.writestr("deep/second.txt", f"t {TOKEN}")
    return bytes(pipe.data)


def _tar(mode: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:  # type: ignore[call-overload]
        text = f"t {TOKEN}".encode()
        entry = tarfile.TarInfo("deep/second.txt")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return data.getvalue()


ARCHIVES = {
    "zip": _zip(zipfile.ZIP_DEFLATED), "stored zip": _zip(zipfile.ZIP_STORED), "streamed zip": _streamed_zip(),
    "tar": _tar("w"), "tar.gz": _tar("w:gz"), "tar.xz": _tar("w:xz"), "tar.bz2": _tar("w:bz2"),
    "tar.zst": zstandard.compress(_tar("w")), "zip in a zip": b"",
}  # fmt: skip
_OUTER = io.BytesIO()
with zipfile.ZipFile(_OUTER, "w") as _archive:
    _archive.writestr("inner.whl", ARCHIVES["zip"])
ARCHIVES["zip in a zip"] = _OUTER.getvalue()


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("chunk", [3, 1 << 20])
def test_archives_are_looked_into(kind: str, chunk: int) -> None:
    data, one = ARCHIVES[kind], Scanner(KnownValues())
    found = one.file("a.bin", [data[at : at + chunk] for at in range(0, len(data), chunk)])
    inner = "inner.whl!deep/second.txt" if kind == "zip in a zip" else "deep/second.txt"
    assert [(f.kind, f.reason) for f in found] == [("huggingface-token", f"a token of Hugging Face, in '{inner}'")]
    assert one.unread == ()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_compressed_files_are_looked_into(pack: Any) -> None:
    assert _kinds(pack(TOKEN.encode())) == {"huggingface-token"}
    assert _kinds(pack(b"a\n") + pack(TOKEN.encode())) == {"huggingface-token"}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_cut_archive_is_named_and_is_no_bug(kind: str) -> None:
    data = ARCHIVES[kind]
    for at in range(0, len(data), 11):
        one = Scanner(KnownValues())
        one.file("a", [data[:at]])
        changed = bytearray(data)
        changed[at] ^= 0xFF
        one.file("a", [bytes(changed)])
    one = Scanner(KnownValues())
    one.file("a.x", [data[: 600 if kind == "tar" else len(data) // 3]])
    assert len({unread.path for unread in one.unread}) == len(one.unread)
    # A cut zstd stream ends without a sign.
    assert any("a.x" in unread.path for unread in one.unread) or kind == "tar.zst"


def test_what_is_not_looked_into_is_named() -> None:
    one = Scanner(KnownValues())
    one.file("a.7z", [b"7z\xbc\xaf\x27\x1c" + bytes(90)])
    encrypted = bytearray(_zip(zipfile.ZIP_STORED))
    for found in re.finditer(b"PK\x03\x04", bytes(encrypted)):
        encrypted[found.start() + 6] |= 1
    one.file("b.zip", [bytes(encrypted)])
    bomb = gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"x"))))
    one.file("c.gz", [bomb])
    assert {(unread.path, unread.reason) for unread in one.unread} >= {
        ("a.7z", "a 7z archive"),
        ("b.zip!first.txt", "encrypted or packed in an unusual way"),
        ("c.gz", "an archive 3 deep in another one"),
    }


def test_a_tar_with_an_endless_header_is_not_read_into_memory() -> None:
    entry = tarfile.TarInfo("pax")
    entry.type, entry.size = tarfile.XHDTYPE, 7 << 30
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        yield entry.tobuf(tarfile.USTAR_FORMAT)
        for _ in range(100):
            read += 1 << 20
            yield bytes(1 << 20)

    one = Scanner(KnownValues())
    assert one.file("a.tar", chunks()) == ()
    assert read < 4 << 20
    assert [unread.path for unread in one.unread] == ["a.tar"]


def test_xz_that_wants_much_memory_is_named() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(TOKEN.encode() * 1000, filters=filters))
    assert _kinds(bytes(data)) == {"huggingface-token"}
    one = Scanner(KnownValues())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archives, "_MOST_MEMORY_BYTES", 1 << 16)
        assert one.file("a.xz", [bytes(data)]) == ()
    assert [unread.path for unread in one.unread] == ["a.xz"]


def test_an_archive_that_is_too_large_when_unpacked_ends() -> None:
    told: list[tuple[str, str]] = []
    unpacking = archives.Unpacking(lambda *what: told.append(what), left_bytes=1 << 20)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(50):
            archive.writestr(f"{number}", bytes(1 << 20))
    read = sum(len(chunk) for part in unpacking.parts([data.getvalue()]) for chunk in part.chunks)
    assert read <= 4 << 20
    assert told[-1][1] == "the archive is too large when unpacked"


# ---- work


HOSTILE = {
    "letters": b"a", "digits": b"7", "words": b"password=", "logins": b" password ", "addresses": b"://a:", "headers": b"-----BEGIN PRIVATE KEY-----",
    "docker": b'"auth":"', "token's beginnings": b"hf_", "dots": b"eyJ.", "machines": b"machine a login b ", "secrets": b"secret_key_", "names": b'api_key = "a1',
    "signatures": b"://x?sig=", "brackets": b"[{", "lines": b"\n", "keys": b"AccountKey=",
}  # fmt: skip


def _calls(data: bytes) -> int:
    count = 0

    def called(*_: Any) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        Scanner(KnownValues()).file("x", [data])
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("what", HOSTILE)
def test_work_grows_with_the_size_only(what: str) -> None:
    once, twice = (_calls(HOSTILE[what] * (size // len(HOSTILE[what]))) for size in (1 << 17, 1 << 18))
    assert twice <= 2.2 * once + 500


def _patterns() -> list[re.Pattern[Any]]:
    """Every pattern that files meet."""
    modules = (assignments, paths, scanner, tokens, values, window)
    found = [one for module in modules for one in vars(module).values() if isinstance(one, re.Pattern)]
    return found + [pattern for rules in tokens._BEGINNINGS.values() for *_, pattern in rules]


def _endless(node: Any, inside: bool = False) -> bool:
    """Whether an endless repeat lies inside another repeat: what makes a pattern take exponential time."""
    for code, argument in node:
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            _, most, inner = argument
            if inside and most is codes.MAXREPEAT:
                return True
            if _endless(inner, inside or most is codes.MAXREPEAT or most > 8):
                return True
        elif code is codes.SUBPATTERN:
            if _endless(argument[-1], inside):
                return True
        elif code is codes.BRANCH and any(_endless(branch, inside) for branch in argument[1]):
            return True
    return False


def test_no_pattern_repeats_a_repeat_without_end() -> None:
    assert len(_patterns()) > 80
    assert [one.pattern for one in _patterns() if _endless(parser.parse(one.pattern, one.flags))] == []
    assert _endless(parser.parse("(?:a+b?)+"))
