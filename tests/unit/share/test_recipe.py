"""A recipe's bytes depend on what it holds alone, and a hostile one is refused before it is used."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from devenv.errors import ShareError
from devenv.share import recipe
from tests.unit.share.made import Memory, added, content, member, packed, preset_folder, tar

PRESET, LOCK = member(recipe.PRESET, b"name: demo\n"), member(recipe.LOCK, b"{}")


def _opened(data: bytes) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(data)))


def test_equal_folders_give_equal_bytes_whenever_and_wherever_they_were_made(tmp_path: Path) -> None:
    first, second = preset_folder(tmp_path / "one"), preset_folder(tmp_path / "other")
    for path in sorted(second.rglob("*"), reverse=True):
        os.utime(path, (1, 1))
        path.chmod(0o700 if path.is_dir() else 0o600)
    more = added(Memory(), volumes=True)
    assert recipe.pack(first) == recipe.pack(second)
    assert recipe.pack(first, more) == recipe.pack(second, more) != recipe.pack(first)
    with _opened(recipe.pack(first)) as archive:
        assert archive.getnames() == sorted([recipe.LOCK, "files/0", recipe.PRESET])
        assert {(one.uid, one.gid, one.uname, one.mtime) for one in archive} == {(0, 0, "", 1_700_000_000)}


def test_a_round_trip_keeps_content_and_what_runs(tmp_path: Path) -> None:
    folder, more = preset_folder(tmp_path / "one"), added(Memory(), volumes=True)
    (folder / "files/0").chmod(0o755)
    (folder / "files/link").symlink_to("/etc/passwd")
    recipe.unpack(recipe.pack(folder, more), tmp_path / "back")
    back = tmp_path / "back"
    assert {path.name for path in back.rglob("*")} == {
        recipe.PRESET, recipe.LOCK, recipe.ADDED, "files", "0"
    }  # fmt: skip
    assert (back / recipe.PRESET).read_bytes() == (folder / recipe.PRESET).read_bytes()
    assert [(back / name).stat().st_mode & 0o777 for name in ("files/0", recipe.LOCK)] == [0o755, 0o644]
    found = recipe.added(back)
    assert found
    plain = {name: dataclasses.replace(one, annotations=()) for name, one in more.volumes.items()}
    assert more.layer
    layer = dataclasses.replace(more.layer, annotations=())
    assert found == dataclasses.replace(more, layer=layer, volumes=plain)


def test_a_preset_without_a_snapshot_has_nothing_added(tmp_path: Path) -> None:
    assert recipe.added(preset_folder(tmp_path / "one")) is None


def test_too_large_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = preset_folder(tmp_path / "one")
    (folder / "files/1").write_bytes(os.urandom(2_000_000))
    monkeypatch.setattr(recipe, "MOST_BYTES", 1_000_000)
    with pytest.raises(ShareError, match="the recipe is larger than"):
        recipe.pack(folder)
    monkeypatch.setattr(recipe, "_MOST_PLAIN_BYTES", 1_000_000)
    with pytest.raises(ShareError, match="own files are larger"):
        recipe.pack(folder)


def test_the_largest_recipe_that_is_packed_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = preset_folder(tmp_path / "one")
    with _opened(recipe.pack(folder)) as archive:
        size = max(one.offset_data + -(-one.size // 512) * 512 for one in archive)
    monkeypatch.setattr(recipe, "_MOST_PLAIN_BYTES", size)
    recipe.unpack(recipe.pack(folder), tmp_path / "back")
    monkeypatch.setattr(recipe, "_MOST_PLAIN_BYTES", size - 1)
    with pytest.raises(ShareError, match="own files are larger"):
        recipe.pack(folder)


# ---- hostile ones


def test_what_a_snapshot_says_of_itself_is_short(tmp_path: Path) -> None:
    folder, more = preset_folder(tmp_path / "one"), dataclasses.replace(added(Memory()), message="x" * (1 << 20))
    recipe.unpack(recipe.pack(folder, more), tmp_path / "back")
    with pytest.raises(ShareError, match="cannot be read"):
        recipe.added(tmp_path / "back")


@pytest.mark.parametrize(
    "made",
    [
        member("/etc/cron.d/x", b"x"),
        member("../x", b"x"),
        member("files/../../x", b"x"),
        member("./x", b"x"),
        member("files//x", b"x"),
        member("x", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("x", type=tarfile.LNKTYPE, linkname=recipe.PRESET),
        member("x", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("x", type=tarfile.BLKTYPE, devmajor=8),
        member("x", type=tarfile.FIFOTYPE),
        member("x", type=tarfile.DIRTYPE),
        member(recipe.LAYER, b"x"),
        member(f"{recipe.VOLUMES}/mnt-demo.tar", b"x"),
    ],
    ids=lambda made: f"{made[0].name} {made[0].type.decode()}",
)
def test_what_no_recipe_has_is_refused(made: tuple[tarfile.TarInfo, bytes], tmp_path: Path) -> None:
    with pytest.raises(ShareError, match="no recipe of devenv's has"):
        recipe.unpack(packed(tar(PRESET, made, LOCK)), tmp_path / "in/side")
    assert {path.name for path in tmp_path.rglob("*")} <= {"in", "side", recipe.PRESET}


def _bomb(made: tarfile.TarInfo) -> bytes:
    """A member that claims 8 GB of zeros, in a few hundred KB."""
    made.size = 8 << 30
    parts = [tar(PRESET)[:1024], made.tobuf(tarfile.GNU_FORMAT), bytes(1 << 20)]
    compressor = zstandard.ZstdCompressor().compressobj()
    return b"".join(
        [*map(compressor.compress, parts), *(compressor.compress(bytes(1 << 22)) for _ in range(160)), compressor.flush()]
    )  # fmt: skip


def _nested() -> bytes:
    """A header of texts for a header of texts for …"""
    made = tarfile.TarInfo("x")
    made.type, made.size = tarfile.XHDTYPE, 512
    header = made.tobuf(tarfile.USTAR_FORMAT)
    return packed(tar(PRESET)[:1024] + (header + b"20 comment=aaaaaaaa\n".ljust(512, b"\0")) * 3000)


def _sparse() -> bytes:
    made, data = member("x", b"x")
    made.pax_headers = {"GNU.sparse.map": "not,a,number", "GNU.sparse.size": "1"}
    return packed(tar(PRESET, (made, data), LOCK))


@pytest.mark.parametrize(
    "data",
    [
        lambda: b"",
        lambda: b"no zstd",
        lambda: packed(b""),
        lambda: packed(b"no tar" * 200),
        lambda: packed(tar(PRESET, member("files/0", os.urandom(9000)), LOCK))[:-5000],
        lambda: packed(tar(PRESET, LOCK)[:-9000] + b"x" * 512 + tar(LOCK)),
        lambda: _bomb(tarfile.TarInfo("files/0")),
        lambda: _bomb(member("x", type=tarfile.XHDTYPE)[0]),
        lambda: _bomb(member("x", type=tarfile.GNUTYPE_LONGNAME)[0]),
        _nested,
        _sparse,
        lambda: packed(tar(PRESET, LOCK, member("x" * 300, b"x"))),
        lambda: packed(tar(PRESET, LOCK, member(f"{recipe.PRESET}/x", b"x"))),
    ],
    ids=["empty", "no-zstd", "no-tar", "text", "cut", "behind", "bomb", "bomb-pax", "bomb-name", "nested", "sparse",
         "long-name", "below-a-file"],
)  # fmt: skip
def test_what_cannot_be_read_is_one_error(
    data: Callable[[], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "_MOST_PLAIN_BYTES", 64 << 20)
    with pytest.raises(ShareError, match="the recipe cannot be"):
        recipe.unpack(data(), tmp_path / "inside")


@pytest.mark.parametrize("made", [[PRESET], [LOCK], [member("x", b"x")]])
def test_without_preset_or_lock_it_is_no_recipe(made: list[Any], tmp_path: Path) -> None:
    with pytest.raises(ShareError, match="no preset or no lock"):
        recipe.unpack(packed(tar(*made)), tmp_path)


def _text(**changes: Any) -> bytes:
    told = json.loads(added(Memory(), volumes=True).text())
    return json.dumps(told | changes).encode()


SHA256 = "a" * 64
BLOB = {"digest": f"sha256:{SHA256}", "size": 1, "mediaType": "x"}


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"nothing", b'{"format": 1}', b"[" * 10_000, _text(format=2), _text(format=None),
        _text(snapshot=None), _text(allowed="/"), _text(allowed=[1]), _text(sha256="x"), _text(sha256=""),
        _text(layer="x"), _text(layer={**BLOB, "digest": "sha512:0"}), _text(layer={**BLOB, "size": -1}),
        _text(layer={**BLOB, "size": True}), _text(layer={**BLOB, "mediaType": None}),
        _text(volumes=[]), _text(volumes={"mnt": BLOB}), _text(volumes={"/": BLOB}), _text(volumes={"/mnt/..": BLOB}),
        _text(volumes={"/./x": BLOB}), _text(volumes={"/a\n": BLOB}), _text(volumes={"/a\0b": BLOB}),
        _text(volumes={"/" + "x" * 300: BLOB}), _text(volumes={"/x": {}}),
    ],
)  # fmt: skip
def test_a_snapshot_that_is_described_wrongly_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / recipe.ADDED).write_bytes(text)
    with pytest.raises(ShareError, match=r"the recipe's snapshot\.json cannot be read") as caught:
        recipe.added(tmp_path)
    assert "newer" in (caught.value.hint or "")


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(_text())
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / recipe.ADDED).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ShareError, match="cannot be read"):
        recipe.added(inside)


def test_a_full_disk_is_not_called_a_strangers_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("devenv.share.recipe.files.write_below", full)
    with pytest.raises(ShareError, match="no space left") as caught:
        recipe.unpack(packed(tar(PRESET, LOCK)), tmp_path)
    assert caught.value.hint == "free disk space"


def test_what_a_snapshot_adds_stands_first_so_that_it_is_read_first(tmp_path: Path) -> None:
    more = added(Memory())
    with _opened(recipe.pack(preset_folder(tmp_path / "one"), more)) as archive:
        assert archive.getnames()[0] == recipe.ADDED
        assert content(archive, recipe.ADDED) == more.text()
