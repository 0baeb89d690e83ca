from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
