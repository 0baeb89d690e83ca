"""Volumes in a snapshot: below their mount point, for whatever environment they are put into."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from devenv.doors.docker.values import Mount
from devenv.snapshot import volumes
from devenv.snapshot.store import Snapshot, Snapshots, volume_file

LONG = "ä" * 120


def _member(name: str, content: bytes = b"", **values: Any) -> tuple[tarfile.TarInfo, IO[bytes] | None]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in values.items():
        setattr(member, key, value)
    return member, io.BytesIO(content) if member.isreg() else None


class Engine:
    """Sends a tar as the engine does: names begin with the folder's own, some in extended headers."""

    MEMBERS = (
        _member("workspace", type=tarfile.DIRTYPE, uid=501),
        _member("workspace/a", b"text", uid=501, gid=20, uname="me", mode=0o640),
        _member(f"workspace/{LONG}", b"long", pax_headers={
            "path": f"workspace/{LONG}", "uid": "3000000", "SCHILY.xattr.user.x": "1",
        }, uid=3000000),
        _member("workspace/link", type=tarfile.LNKTYPE, linkname="workspace/a"),
        _member("workspace/soft", type=tarfile.SYMTYPE, linkname="../etc"),
        _member("workspace/device", type=tarfile.CHRTYPE),
        _member("workspace/.code-server/logs/x", b"brief"),
    )  # fmt: skip

    def __init__(self, uid: str) -> None:
        self._uid = uid

    def inspection(self, _: str) -> Any:
        return {"Config": {"Env": [f"DEVENV_UID={self._uid}", "DEVENV_GID=20"]}}

    @contextlib.contextmanager
    def members(self, *_: str) -> Iterator[Any]:
        yield iter(self.MEMBERS)


def _running(*mounts: Mount) -> Any:
    return SimpleNamespace(name="demo", facts=SimpleNamespace(id="x", mounts=mounts))


def _taken(folder: Path, uid: str) -> dict[str, tarfile.TarInfo]:
    for _, content in Engine.MEMBERS:
        if content:
            content.seek(0)
    engine: Any = Engine(uid)
    sizes = volumes.take(_running(), ["/workspace"], folder, engine, SimpleNamespace(message=lambda _: None))  # type: ignore[arg-type]
    assert sizes == {"/workspace": (folder / volume_file("/workspace")).stat().st_size}
    with tarfile.open(folder / volume_file("/workspace")) as archive:
        return {one.name: one for one in archive}


def test_names_lie_below_the_mount_point_in_extended_headers_too(tmp_path: Path) -> None:
    found = _taken(tmp_path / "volumes", "501")
    assert [*found] == [".", "./a", f"./{LONG}", "./link", "./soft"]
    assert (found["./link"].linkname, found["./soft"].linkname) == ("./a", "../etc")
    assert found[f"./{LONG}"].pax_headers["SCHILY.xattr.user.x"] == "1"
    held = volumes.files_of(tmp_path / "volumes", "/workspace")
    assert {path: (kind, b"".join(data)) for path, kind, data in held} == {
        "/workspace/a": ("file", b"text"), f"/workspace/{LONG}": ("file", b"long"), "/workspace/link": ("file", b""),
        "/workspace/soft": ("symlink", b"../etc"),
    }  # fmt: skip


@pytest.mark.parametrize(("uid", "path"), [("501", "./a"), ("3000000", f"./{LONG}")])
def test_the_users_own_numbers_become_those_of_the_image(tmp_path: Path, uid: str, path: str) -> None:
    one = _taken(tmp_path / "volumes", uid)[path]
    assert (one.uid, one.uname) == (1000, "")


def _mount(source: str, target: str, kind: str = "volume", *, read_only: bool = False) -> Mount:
    return Mount(source=source, target=target, kind=kind, read_only=read_only)  # type: ignore[arg-type]


def test_which_mounts_are_taken() -> None:
    running = _running(
        _mount("devenv-demo-data", "/mnt/demo"), _mount("devenv-demo-workspace", "/workspace"),
        _mount("devenv-model-x", "/models", read_only=True), _mount("/home/me/x", "/home/me/x", "bind"),
        _mount("devenv-demo-vol-a", "/a"),
    )  # fmt: skip
    assert volumes.mounts(running, workspace=False, data=False) == ()
    assert volumes.mounts(running, workspace=True, data=True) == ("/workspace", "/a", "/mnt/demo")


def test_the_data_of_one_environment_goes_to_that_of_another(tmp_path: Path) -> None:
    snapshot = Snapshot(
        name="s", environment="demo", preset="p", message="", made="", user="u", lock_digest="d",
        volumes={"/mnt/demo": 1, "/workspace": 1},
    )  # fmt: skip
    found = volumes.to_fill(snapshot, Snapshots(tmp_path), "copy")
    kept = Snapshots(tmp_path)
    assert found == {
        "/mnt/copy": kept.volume(snapshot, "/mnt/demo"), "/workspace": kept.volume(snapshot, "/workspace"),
    }  # fmt: skip
