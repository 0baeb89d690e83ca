"""A layer's file is what its digest says, and the same on every machine."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from pathlib import Path

import pytest
import zstandard

from devenv.verify import canonical, layer_files
from devenv.verify.layer_files import Compressed
from tests.unit.verify.test_canonical import layers, made_root, put


def _plain(packed: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)


def test_the_files_are_what_their_digests_say(tmp_path: Path) -> None:
    base, root, out = made_root(tmp_path / "base"), made_root(tmp_path / "root"), tmp_path / "out"
    put(base, "srv/gone")
    put(root, "usr/local/x")
    layer_files.main([str(root), str(out), "--base", str(base)])
    told = json.loads((out / "canonical.json").read_text())
    expected = [*layers(root, base)]
    assert [one["diff_id"] for one in told] == [one.diff_id for one in expected]
    assert {one["name"] for one in told} >= {canonical.REMOVED, "own"}
    for one, whole in zip(told, expected, strict=True):
        content = _plain((out / f"{one['name']}.tar.zst").read_bytes())
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == one["diff_id"]
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            assert archive.getnames() == [entry.path for entry in whole.entries]
    assert {one.name for one in out.iterdir()} == {"canonical.json", *(f"{one['name']}.tar.zst" for one in told)}


def test_any_number_of_workers_gives_the_same_bytes() -> None:
    data = random.Random(1).randbytes(3 << 20) + bytes(5 << 20) + b"text " * 400_000
    found = set()
    for threads, step in ((1, 1 << 20), (2, 512), (7, 3 << 20)):
        file = io.BytesIO()
        packed = Compressed(file, threads)
        for start in range(0, len(data), step):
            packed.write(data[start : start + step])
        packed.close()
        assert _plain(file.getvalue()) == data
        found.add(file.getvalue())
    assert len(found) == 1


def test_nothing_is_a_whole_frame_too() -> None:
    file = io.BytesIO()
    Compressed(file, 1).close()
    assert _plain(file.getvalue()) == b""
    assert file.getvalue()


def test_a_system_without_the_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_files, "_LIBRARY", "libnowhere.so.1")
    with pytest.raises(OSError, match=r"libnowhere\.so\.1"):
        Compressed(io.BytesIO(), 1)
