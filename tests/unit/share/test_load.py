"""Layers that a stranger made, checked before an engine gets them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.terminal.progress import Silent
from devenv.errors import ShareError
from devenv.share.load import Checks, check, load
from tests.unit.share.made import Engine, content, member, packed, tar


def _layer(folder: Path, data: bytes) -> Path:
    path = folder / hashlib.sha256(data).hexdigest()
    path.write_bytes(data)
    return path


SOUND = tar(
    member("etc", type=tarfile.DIRTYPE), member("etc/own", b"x" * 5000), member("etc/.wh.gone"),
    member("etc/link", type=tarfile.SYMTYPE, linkname="../../../outside"),
    member("etc/again", type=tarfile.LNKTYPE, linkname="etc/own"), member("run/pipe", type=tarfile.FIFOTYPE),
    member("etc/..own", b""), member("x" * 400, b"long"),
)  # fmt: skip


def test_an_engine_gets_the_image_under_its_tag(tmp_path: Path) -> None:
    engine: Any = Engine()
    layers = [_layer(tmp_path, packed(one)) for one in (SOUND, tar(member("other")))]
    config = b'{"a": 1}'
    with Checks() as checks:
        checks.begin(layers[1])  # as it arrived first
        load(config, layers, "devenv/demo:1", engine, checks, stage=Silent())
    with tarfile.open(fileobj=io.BytesIO(engine.loaded[0])) as archive:
        (told,) = json.loads(content(archive, "manifest.json"))
        assert (told["RepoTags"], content(archive, told["Config"])) == (["devenv/demo:1"], config)
        assert [content(archive, name) for name in told["Layers"]] == [path.read_bytes() for path in layers]
    assert engine.image_id("devenv/demo:1") == f"sha256:{hashlib.sha256(config).hexdigest()}"


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (member("/etc/passwd", b"x"), "leaves the image"),
        (member("../etc/passwd", b"x"), "leaves the image"),
        (member("etc/../../passwd", b"x"), "leaves the image"),
        (member("..", type=tarfile.DIRTYPE), "leaves the image"),
        (member("etc/.wh..."), "leaves the image"),
        (member("x", type=tarfile.LNKTYPE, linkname="/etc/passwd"), "leaves the image"),
        (member("x", type=tarfile.LNKTYPE, linkname="../../etc/passwd"), "leaves the image"),
        (member("dev/sda", type=tarfile.BLKTYPE, devmajor=8), "a device"),
        (member("dev/mem", type=tarfile.CHRTYPE, devmajor=1, devminor=1), "a device"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value[0].name}-{value[0].type.decode()}",
)
def test_a_hostile_layer_reaches_no_engine(made: tuple[tarfile.TarInfo, bytes], why: str, tmp_path: Path) -> None:
    engine: Any = Engine()
    hostile = _layer(tmp_path, packed(tar(member("a", b"x"), made, member("b", b"x"))))
    with Checks() as checks:
        with pytest.raises(ShareError, match=why) as caught:
            load(b"{}", [_layer(tmp_path, packed(SOUND)), hostile], "devenv/demo:1", engine, checks, stage=Silent())
        assert checks.failed
    assert hostile.name in caught.value.message
    assert engine.loaded == []


def test_a_wrong_layer_ends_what_brings_the_others(tmp_path: Path) -> None:
    sound, hostile = (_layer(tmp_path, packed(one)) for one in (SOUND, tar(member("../x", b"x"))))
    with Checks() as checks:
        checks.begin(sound)
        checks.passed(sound)
        assert not checks.failed
        checks.begin(hostile)
        with pytest.raises(ShareError, match="leaves the image"):
            checks.passed(hostile)
        with pytest.raises(ShareError, match="leaves the image"):
            checks.begin(sound)


def test_texts_before_a_header_do_not_hide_a_path(tmp_path: Path) -> None:
    made, data = member("harmless", b"x")
    made.pax_headers = {"path": "../../etc/cron.d/x"}
    with pytest.raises(ShareError, match="leaves the image"):
        check(_layer(tmp_path, packed(tar((made, data)))))


def _broken_header() -> bytes:
    """A header that tarfile cannot read, between two others."""
    first, second = tar(member("a"))[:512], bytearray(tar(member("dev/sda", type=tarfile.BLKTYPE))[:512])
    second[148:156] = b"no sum!!"
    return first + bytes(second) + tar(member("b"))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no zstd", packed(b"x" * 2000), packed(tar(member("x", os.urandom(50_000))))[:20_000],
        packed(tar(member("x", os.urandom(50_000))))[:-9], packed(_broken_header()), packed(tar(member("a")) + SOUND),
    ],
    ids=["empty", "no-zstd", "no-tar", "cut", "cut-at-the-end", "broken-header", "after-the-end"],
)  # fmt: skip
def test_a_layer_that_cannot_be_read_is_named(data: bytes, tmp_path: Path) -> None:
    layer = _layer(tmp_path, data)
    with pytest.raises(ShareError, match=f"the layer sha256:{layer.name} cannot be read"):
        check(layer)
