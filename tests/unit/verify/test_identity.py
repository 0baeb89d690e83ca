"""What an image that reads itself says is not believed where it could reach this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.doors.docker.local_tag import VERIFY_TAG
from devenv.doors.terminal.progress import Silent
from devenv.errors import BuildError
from devenv.verify.identity import with_layers
from tests.unit import examples

DIFF_ID = f"sha256:{1:064}"


def _read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "base", *, make: Callable[[Path], object] | None = None
) -> dict[str, Path]:
    """`with_layers` of an image that names one layer; `make` writes the layer's file."""

    def write(arguments: list[str], *_: Any) -> None:
        place = Path(arguments[-1].rpartition("dest=")[2]) / "0"
        place.mkdir()
        rows = [{"name": name, "diff_id": DIFF_ID, "size_bytes": 1, "entries": []}]
        (place / "canonical.json").write_bytes(json.dumps(rows).encode("utf-8", "surrogatepass"))
        (make or (lambda path: path.write_bytes(b"layer")))(place / f"{name.rpartition('/')[2]}.tar.zst")

    monkeypatch.setattr("devenv.build.build.buildx", write)
    facts = {"Architecture": "amd64", "Os": "linux", "Config": {}}
    engine: Any = SimpleNamespace(image_facts=lambda _: facts)
    out = tmp_path / "out"
    out.mkdir()
    return with_layers(f"{VERIFY_TAG}x", engine, out, progress=Silent(), base=examples.lock().base)[1]


def test_its_layers_are_files_beside_the_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _read(tmp_path, monkeypatch) == {"base": tmp_path / "out/0/base.tar.zst"}


@pytest.mark.parametrize("name", ["../../home/key", "/etc/x", "base\ud800", "", "Base", "a b", "wheels-"])
def test_a_layer_of_an_impossible_name_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BuildError, match="names a layer that cannot be"):
        _read(tmp_path, monkeypatch, name, make=lambda _: None)


def test_a_link_is_not_taken_for_a_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("of this machine")
    for number, make in enumerate((lambda path: path.symlink_to(tmp_path / "secret"), lambda path: path.mkdir())):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(BuildError, match=r"base\.tar\.zst is no file"):
            _read(folder, monkeypatch, make=make)
