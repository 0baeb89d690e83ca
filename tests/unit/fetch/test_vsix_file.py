from __future__ import annotations

import io
import json
import runpy
import struct
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.dirs import templates_dir
from devenv.fetch import declared
from devenv.fetch.vsix_file import Manifest, manifest
from tests.unit.packages import packed, vsix


def _read(tmp_path: Path, body: bytes) -> Manifest:
    (tmp_path / "x.vsix").write_bytes(body)
    return manifest(tmp_path / "x.vsix")


def test_what_an_extension_says_of_itself(tmp_path: Path) -> None:
    body = vsix(
        "Acme", "tool", "1.2.3", engines={"vscode": "^1.90.0"}, extensionDependencies=["a.b"], extensionPack=["a.c", 3]
    )
    assert _read(tmp_path, body) == Manifest(
        id="Acme.tool", version="1.2.3", engine="^1.90.0", needs=("a.b",), pack=("a.c", "3")
    )
    assert _read(tmp_path, vsix("a", "b", "1.0.0")) == Manifest(id="a.b", version="1.0.0")


@pytest.mark.parametrize("odd", [[], 3, {"publisher": "a", "name": 3, "version": "1"}, {"publisher": "a", "name": "b"}])
def test_a_package_that_says_nothing_of_use(tmp_path: Path, odd: Any) -> None:
    with pytest.raises(ValueError, match=r"is not an object|does not contain its name"):
        _read(tmp_path, packed(**{"extension/package.json": json.dumps(odd)}))


@pytest.mark.parametrize(
    "body", [b"", b"no zip", packed(other="x"), packed(**{"extension/package.json": "{"}),
             packed(**{"extension/package.json": "[" * 100_000})],
)  # fmt: skip
def test_a_damaged_file(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(declared._faults()):
        _read(tmp_path, body)


def _zip(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, body in members:
            archive.writestr(name, body)
    return made.getvalue()


OWN = ("extension/package.json", b'{"publisher": "a", "name": "b", "version": "1.0.0"}')


@pytest.mark.parametrize(
    "name", ["extension/./package.json", "extension//package.json", "extension/x/../package.json", "./a", "../a", "/a",
             "//a", "..", ".", "a//", "/"],
)  # fmt: skip
def test_a_member_whose_name_is_not_in_normal_form(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not in normal form"):
        _read(tmp_path, _zip(OWN, (name, b"{}")))


@pytest.mark.parametrize("name", ["extension/package.json", "extension/package.json/"])
def test_a_member_that_occurs_twice(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"it has the member 'extension/package.json' twice"):
        _read(tmp_path, _zip(OWN, (name, b"")))


def test_usual_members(tmp_path: Path) -> None:
    others = ((name, b"") for name in ("[Content_Types].xml", "extension/", "extension/..x", "extension/a b\\c", "..x"))
    assert _read(tmp_path, _zip(OWN, *others)).id == "a.b"


def test_an_archive_that_is_too_large_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = _zip(OWN, ("a", bytes(600)), ("b", bytes(600)))
    assert _read(tmp_path, body).id == "a.b"
    monkeypatch.setattr("devenv.fetch.vsix_file._MOST_UNPACKED_BYTES", 1000)
    with pytest.raises(ValueError, match="GiB unpacked"):
        _read(tmp_path, body)


def test_no_more_of_a_member_is_unpacked_than_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum above counts what archives say of themselves."""
    body = _zip(("extension/zeros", bytes(5 << 20)))
    size = struct.pack("<I", 5 << 20)
    assert body.count(size) == 2  # before the data, and in the directory
    (tmp_path / "x.vsix").write_bytes(body.replace(size, struct.pack("<I", 10)))
    script = templates_dir() / "build" / "unpack.py"
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path / "x.vsix"), "extension", str(tmp_path / "out")])
    with pytest.raises(zipfile.BadZipFile, match="Bad CRC-32"):
        runpy.run_path(str(script))
    assert (tmp_path / "out" / "zeros").stat().st_size <= 10
