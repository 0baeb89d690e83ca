from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from devenv.errors import LockError
from devenv.fetch.store import Store
from devenv.lock.model import Artifact, LockedEditor
from devenv.resolve.vscode import editor, fits
from tests.unit.packages import tar


@pytest.mark.parametrize(
    "engine",
    ["*", "^1.90.0", "^1.139.0", "^1.139.1", "^1.139.x", "^1.x.x", ">=1.139.1", ">=0.10.0", "1.139.1", "1.139.x",
     "1.x.x", "^1.100.0-20250101", " ^1.90.0 "],
)  # fmt: skip
def test_engines_that_fit(engine: str) -> None:
    assert fits(engine, "1.139.1")


@pytest.mark.parametrize(
    "engine",
    ["^1.139.2", "^1.140.0", "^2.0.0", "^0.139.0", "^0.10.0", ">=1.140.0", "1.139.0", "1.138.x", "2.x.x", "", "latest", "~1.139.1",
     "1", "^1.139", "<2.0.0", "1.139.1 || 2.0.0", "\x1b[31m"],
)  # fmt: skip
def test_engines_that_do_not_fit(engine: str) -> None:
    assert not fits(engine, "1.139.1")


def _locked(store: Store, files: dict[str, str], root: Path) -> LockedEditor:
    body = gzip.compress(tar(**{f"package/{path}": text.encode() for path, text in files.items()}), mtime=0)
    (root / "code-server.tgz").write_bytes(body)
    sha256 = store.adopt(root / "code-server.tgz")
    assert sha256 == hashlib.sha256(body).hexdigest()
    archive = Artifact(name="code-server", version="4.1.2", file="code-server-4.1.2.tgz", size=len(body), sha256=sha256)
    return LockedEditor(version="4.1.2", source="release", archive=archive)


def _package(**values: str) -> str:
    return json.dumps(values)


def test_the_editors_own_package_says_its_version_and_its_extensions(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    locked = _locked(store, {
        "package.json": _package(name="code-server", version="4.1.2"),
        "lib/vscode/package.json": _package(name="code-oss", version="1.99.3"),
        "lib/vscode/extensions/git/package.json": _package(publisher="vscode", name="Git"),
        "lib/vscode/extensions/odd/package.json": _package(publisher="../x", name="y"),
        "lib/vscode/extensions/git/node_modules/x/package.json": _package(publisher="not", name="one", version="3"),
    }, tmp_path)  # fmt: skip
    found = editor(locked, store)
    assert (found.version, found.vscode, found.built_in) == ("4.1.2", "1.99.3", {"vscode.git"})
    store.path(locked.archive.sha256).unlink()
    assert editor(locked, store) == found, "the archive is read once"
    assert found.runs("^1.99.0")


@pytest.mark.parametrize("version", ["", "1.2", "1.2.3\n", "x"])
def test_an_editor_without_a_version_of_vs_code(tmp_path: Path, version: str) -> None:
    store = Store(tmp_path / "store")
    locked = _locked(store, {"lib/vscode/package.json": _package(version=version)}, tmp_path)
    with pytest.raises(LockError, match="does not state its version of VS Code"):
        editor(locked, store)


def test_an_editor_that_is_no_archive(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    locked = _locked(store, {}, tmp_path)
    store.path(locked.archive.sha256).chmod(0o644)
    store.path(locked.archive.sha256).write_bytes(b"no archive")
    with pytest.raises(LockError, match="cannot be read"):
        editor(locked, store)
