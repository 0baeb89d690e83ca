"""The layers of a base image come from the engine, whichever form it saves them in."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
import zstandard

from devenv.doors.docker.local_tag import BASE_TAG
from devenv.doors.http.registry.manifest import digest_of
from devenv.errors import ShareError
from devenv.share.base_layers import unpacked
from tests.unit.share.made import member, tar

LAYERS = [tar(member("low", b"x" * 3_000_000)), tar(member("high", b"y"))]
IDS = [digest_of(one) for one in LAYERS]
FORMS = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


def _archive(layers: Sequence[bytes], told: Any = None) -> dict[str, bytes]:
    """As `docker save` writes it: blobs by digest, in no useful order, then the manifest."""
    names = [f"blobs/sha256/{digest_of(one).partition(':')[2]}" for one in layers]
    rows = [*zip(names, layers, strict=True)][::-1]
    rows.append(("manifest.json", json.dumps([{"Layers": names}] if told is None else told).encode()))
    return dict(rows)


def _read(archive: Mapping[str, bytes], folder: Path, ids: Sequence[str] = IDS) -> list[bytes]:
    @contextlib.contextmanager
    def saved(_: str) -> Iterator[Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]]:
        yield ((tarfile.TarInfo(name), io.BytesIO(data)) for name, data in archive.items())

    engine: Any = SimpleNamespace(saved=saved)
    return [path.read_bytes() for path in unpacked(f"{BASE_TAG}1", ids, engine, folder)]


@pytest.mark.parametrize("form", FORMS)
def test_layers_come_unpacked_in_order_and_leave_nothing(form: str, tmp_path: Path) -> None:
    packed = [FORMS[form](one) for one in LAYERS]
    assert _read(_archive(packed), tmp_path) == LAYERS
    assert [path.name for path in tmp_path.iterdir()] == ["saved-2"]  # the manifest; the folder goes with its work


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (lambda: _archive(LAYERS[:1]), "saves other layers"),
        (lambda: _archive([LAYERS[0], LAYERS[0][:-1]]), "saves other layers"),
        (lambda: _archive(LAYERS, [{"Layers": ["nowhere", "else"]}]), "in an unknown form"),
        (lambda: _archive(LAYERS, []), "in an unknown form"),
        (lambda: _archive(LAYERS, {"a": 1}), "in an unknown form"),
        (dict, "in an unknown form"),
    ],
)
def test_what_is_not_that_image_is_refused(archive: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ShareError, match=message):
        _read(archive(), tmp_path)
