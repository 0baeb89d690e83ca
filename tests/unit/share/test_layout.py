"""Layouts written and read: folder and tar, and what is refused of those that others wrote."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.cancellation import Cancellation
from devenv.doors.http.registry.manifest import Descriptor, digest_of
from devenv.doors.settings.signature_rules import SignatureRule
from devenv.doors.terminal.progress import Silent
from devenv.errors import CancelledError, ShareError
from devenv.share.formats import LAYER
from devenv.share.layout import InLayout
from devenv.share.layout_files import is_layout
from devenv.up.session import Session
from tests.unit.share import exported

BOTH = pytest.mark.parametrize("name", ["shop", "shop.tar"])
BIG = Descriptor.of(exported.LAYERS[1], LAYER)


@pytest.fixture
def mine(tmp_path: Path) -> Session:
    return exported.session(tmp_path / "mine")


def _read(place: InLayout, mine: Session) -> None:
    with place.opened(mine) as layout:
        top = layout.manifest()
        layout.attached(top)
        layout.bring(top.layers, mine.dirs.blobs, Silent())


def _refused(place: InLayout, mine: Session) -> ShareError:
    """The error for reading all of it."""
    with pytest.raises(ShareError) as caught:
        _read(place, mine)
    whole = {Descriptor.of(one, LAYER).hex: one for one in exported.LAYERS}
    assert all(path.read_bytes() == whole[path.name] for path in mine.dirs.blobs.glob("[!.]*"))
    assert not [*mine.dirs.blobs.glob(".[!l]*")]
    return caught.value


@BOTH
def test_what_was_written_is_read(name: str, tmp_path: Path, mine: Session) -> None:
    place = exported.write(tmp_path / name, mine, along=(exported.along(b"a file"),))
    with place.opened(mine) as layout:
        top = layout.manifest()
        assert top.data == exported.top().data
        assert layout.manifest(top.digest).data == top.data
        kinds = {one.artifact_type for one in layout.attached(top)}
        assert kinds == {"application/vnd.cyclonedx+json", "application/x-tests"}
        layout.bring(top.layers, mine.dirs.blobs, Silent())
    assert {path.name: path.read_bytes() for path in mine.dirs.blobs.iterdir()} == {
        Descriptor.of(one, LAYER).hex: one for one in exported.LAYERS
    }
    assert is_layout(tmp_path / name)


def test_folder_and_tar_hold_the_same_and_the_tar_is_for_docker_load_too(tmp_path: Path, mine: Session) -> None:
    folder, tar = (exported.files(exported.write(tmp_path / name, mine).path) for name in ("shop", "shop.tar"))
    (docker,) = json.loads(tar.pop("manifest.json"))
    assert folder == tar
    assert docker["RepoTags"] == ["devenv/shop:bbbbbbbbbbbbbbbb"]
    assert [tar[name] for name in docker["Layers"]] == [*exported.LAYERS]
    assert tar[docker["Config"]] == exported.CONFIG_BYTES
    (only,) = json.loads(tar["index.json"])["manifests"]
    assert only["annotations"]["io.containerd.image.name"] == "docker.io/devenv/shop:bbbbbbbbbbbbbbbb"


def test_equal_content_gives_an_equal_tar(tmp_path: Path, mine: Session) -> None:
    one, other = (exported.write(tmp_path / name, mine).path for name in ("a.tar", "b.tar"))
    assert one.read_bytes() == other.read_bytes()


@BOTH
def test_nothing_half_made_has_the_name_after_a_failure_or_a_kill(name: str, tmp_path: Path, mine: Session) -> None:
    path, gone = tmp_path / name, tmp_path / "gone"
    lost = dataclasses.replace(exported.blob(exported.LAYERS[1]), content=gone)
    with pytest.raises(ShareError):
        exported.write(path, mine, layers=(exported.blob(exported.LAYERS[0]), lost))
    assert not is_layout(path)
    if name.endswith(".tar"):
        left = tmp_path / ".shop.tar.unfinished"
        assert not left.exists()
        left.mkdir()
        (left / "shop.tar").write_bytes(b"of a killed run")
    else:
        (path / ".unfinished").write_bytes(b"of a killed run")
    exported.write(path, mine)
    assert is_layout(path)
    assert {one.name for one in tmp_path.iterdir()} <= {name, "mine"}
    assert "b" in str(exported.files(path).keys())
    assert not [one for one in exported.files(path) if "unfinished" in one or "lock" in one]


def test_a_folder_keeps_right_blobs_and_loses_wrong_and_old_ones(tmp_path: Path, mine: Session) -> None:
    place = exported.write(tmp_path / "shop", mine)
    blobs = place.path / "blobs/sha256"
    wrong, old = blobs / Descriptor.of(exported.LAYERS[0], LAYER).hex, blobs / ("0" * 64)
    wrong.write_bytes(b"x" * len(exported.LAYERS[0]))
    old.write_bytes(b"of an earlier export")
    right = (blobs / BIG.hex).stat().st_ino
    exported.write(tmp_path / "shop", mine)
    assert wrong.read_bytes() == exported.LAYERS[0]
    assert not old.exists()
    assert (blobs / BIG.hex).stat().st_ino == right


def test_other_content_of_a_folder_is_not_touched(tmp_path: Path, mine: Session) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").write_text("mine")
    with pytest.raises(ShareError, match=r"holds mine\.txt"):
        exported.write(tmp_path / "notes", mine)
    place = exported.write(tmp_path / "shop", mine)
    index = json.loads((place.path / "index.json").read_text())
    del index["annotations"]
    (place.path / "index.json").write_text(json.dumps(index))
    with pytest.raises(ShareError, match="images that devenv did not export"):
        exported.write(tmp_path / "shop", mine)


@pytest.mark.parametrize(
    ("name", "link"), [("shop", "shop/blobs"), ("shop", "shop/blobs/sha256"), ("shop.tar", ".shop.tar.unfinished")]
)
def test_a_link_to_another_folder_is_not_emptied(name: str, link: str, tmp_path: Path, mine: Session) -> None:
    """A disc may come from a stranger."""
    mine_too, place = tmp_path / "mine", tmp_path / "disc" / link
    (mine_too / "sha256").mkdir(parents=True)
    for path in (mine_too / "letter", mine_too / "sha256/letter"):
        path.touch()
    place.parent.mkdir(parents=True)
    place.symlink_to(mine_too)
    with pytest.raises(ShareError, match="is a link"):
        exported.write(tmp_path / "disc" / name, mine)
    assert len([*mine_too.rglob("letter")]) == 2


def test_a_changed_local_file_is_not_exported(tmp_path: Path, mine: Session) -> None:
    local = tmp_path / "layer"
    local.write_bytes(exported.LAYERS[1][:-1] + b"x")
    changed = dataclasses.replace(exported.blob(exported.LAYERS[1]), content=local)
    with pytest.raises(ShareError, match="was changed"):
        exported.write(tmp_path / "shop.tar", mine, layers=(exported.blob(exported.LAYERS[0]), changed))
    assert not (tmp_path / "shop.tar").exists()


def test_a_full_disk_is_said_before_anything_is_written(
    tmp_path: Path, mine: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = exported.write(tmp_path / "whole.tar", mine)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    for name in ("shop", "shop.tar"):
        with pytest.raises(ShareError, match="not enough disk space"):
            exported.write(tmp_path / name, mine)
        assert not is_layout(tmp_path / name)
    assert "not enough disk space" in _refused(place, mine).message


def test_an_export_can_be_cancelled(tmp_path: Path, mine: Session) -> None:
    cancel = Cancellation()
    cancel.cancel()
    with pytest.raises(CancelledError):
        exported.write(tmp_path / "shop.tar", dataclasses.replace(mine, cancel=cancel))
    assert not (tmp_path / "shop.tar").exists()


# ---- what others wrote


def _change(path: Path, name: str, data: bytes | None) -> None:
    """Replace a file of a layout, or remove it."""
    if path.is_dir():
        (path / name).unlink()
        if data is not None:
            (path / name).write_bytes(data)
        return
    contents = exported.files(path)
    del contents[name]
    exported.tar(path, contents | ({name: data} if data is not None else {}))


@BOTH
@pytest.mark.parametrize(
    ("file", "data", "said"),
    [
        (f"blobs/sha256/{BIG.hex}", b"x" * BIG.size, f"its {BIG.digest} has other content"),
        (f"blobs/sha256/{BIG.hex}", exported.LAYERS[1][:-1], "has 2,499,999 bytes instead of 2,500,000"),
        (f"blobs/sha256/{BIG.hex}", None, f"it lacks {BIG.digest}"),
        ("index.json", b" " * (10 << 20), "its index.json cannot be used: it has more than 4.2 MB"),
        ("index.json", b"{", "its index.json cannot be used"),
        ("index.json", None, "it has no index.json"),
        ("index.json", b'{"schemaVersion":2,"manifests":[]}', "it has 0 images"),
        ("index.json", json.dumps({"schemaVersion": 2, "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:../../../etc/passwd", "size": 1}
        ]}).encode(), "no digest of the form"),
    ],
)  # fmt: skip
def test_a_damaged_or_hostile_layout_is_refused(
    name: str, file: str, data: bytes | None, said: str, tmp_path: Path, mine: Session
) -> None:  # fmt: skip
    place = exported.write(tmp_path / name, mine)
    _change(place.path, file, data)
    assert said in _refused(place, mine).message


def test_a_folders_blobs_that_are_no_files_of_it_are_refused(tmp_path: Path, mine: Session) -> None:
    place = exported.write(tmp_path / "shop", mine)
    path = place.path / "blobs/sha256" / BIG.hex
    outside = path.replace(tmp_path / "outside")
    path.symlink_to(outside)
    assert "leads out of" in _refused(place, mine).message
    path.unlink()
    os.mkfifo(path)
    assert "it is a pipe" in _refused(place, mine).message


def _member(name: str, **facts: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (_member(f"blobs/sha256/{BIG.hex}", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is not a regular file"),
        (_member(f"blobs/sha256/{BIG.hex}", type=tarfile.FIFOTYPE), "is not a regular file"),
        (_member("index.json"), "is in it twice"),
    ],
)  # fmt: skip
def test_a_tars_members_that_are_no_files_are_refused(
    member: tarfile.TarInfo, said: str, tmp_path: Path, mine: Session
) -> None:  # fmt: skip
    contents = exported.files(exported.write(tmp_path / "shop.tar", mine).path)
    if member.name != "index.json":
        del contents[member.name]
    place = InLayout(path=exported.tar(tmp_path / "bad.tar", contents, member))
    assert said in _refused(place, mine).message


def test_names_that_leave_do_not_count(tmp_path: Path, mine: Session) -> None:
    contents = exported.files(exported.write(tmp_path / "shop.tar", mine).path)
    more = {f"../{tmp_path.name}-left": b"x", "/etc/x": b"x", "./README": b"x"}
    place = InLayout(path=exported.tar(tmp_path / "more.tar", more | contents))
    with place.opened(mine) as layout:
        layout.bring(layout.manifest().layers, mine.dirs.blobs, Silent())
    assert not (tmp_path.parent / f"{tmp_path.name}-left").exists()


def test_a_truncated_tar_and_no_tar_are_refused(tmp_path: Path, mine: Session) -> None:
    place = exported.write(tmp_path / "shop.tar", mine)
    data = place.path.read_bytes()
    for length in (0, 700, 100_000, len(data) // 2, len(data) - BIG.size // 2):
        place.path.write_bytes(data[:length])
        assert "shop.tar cannot be " in _refused(place, mine).message
    place.path.write_bytes(b"no tar" * 1000)
    assert "cannot be read as an image layout" in _refused(place, mine).message


def test_a_header_of_100_mb_is_not_read(tmp_path: Path, mine: Session) -> None:
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 100 << 20
    (tmp_path / "bad.tar").write_bytes(member.tobuf() + bytes(4096))
    assert "a header of 104,857,600 bytes" in _refused(InLayout(path=tmp_path / "bad.tar"), mine).message


def test_a_manifest_is_what_its_digest_says(tmp_path: Path, mine: Session) -> None:
    place = exported.write(tmp_path / "shop", mine)
    with pytest.raises(ShareError, match="it lacks"), place.opened(mine) as layout:
        layout.manifest(digest_of(b"another"))
    with pytest.raises(ShareError, match="are the most here"), place.opened(mine) as layout:
        layout.blob(BIG, most_bytes=1000)


def test_a_file_is_refused_where_all_images_must_be_signed(tmp_path: Path, mine: Session) -> None:
    place = exported.write(tmp_path / "shop", mine)
    for scope, refused in (("*", True), ("registry.example", False)):
        rule = SignatureRule(scope=scope, keys=(tmp_path / "key.pem",))
        settings = dataclasses.replace(mine.settings, signature_rules=(rule,))
        with place.opened(dataclasses.replace(mine, settings=settings)) as layout:
            if not refused:
                assert layout.signers(exported.top(), None) == ()
                continue
            with pytest.raises(ShareError, match="a signature is required of all images"):
                layout.signers(exported.top(), None)
