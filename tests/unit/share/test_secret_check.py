"""Nothing secret leaves, and no message shows it."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.settings.credentials import Credential
from devenv.errors import ShareError
from devenv.secrets.known import KnownValues
from devenv.share import recipe
from devenv.share.secret_check import check
from devenv.snapshot.store import Snapshot, Snapshots, volume_file
from devenv.up.session import Session
from tests.unit.share.made import member, preset_folder, session, tar

SECRET = "n0t-for-0thers"  # not a token of a known form: only this user's settings know it
TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4xZ7cF0rL3yU6"
KNOWN = KnownValues.of([Credential(origin="the registry's password", value=SECRET)])


@pytest.fixture
def given(tmp_path: Path) -> Session:
    return session(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return preset_folder(tmp_path / "preset")


def _config(**own: Any) -> dict[str, Any]:
    return {"Config": {"Env": ["PATH=/usr/bin"], "Labels": None, **own}}


def _snapshot(
    given: Session, *, layer: bytes = b"", volume: bytes = b"", allowed: tuple[str, ...] = ()
) -> Snapshot:  # fmt: skip
    kept = Snapshots(given.dirs.snapshots)
    made = Snapshot(
        name="demo-1", environment="demo", preset="demo", message="", made="2026-01-01T00:00:00+00:00", user="me",
        lock_digest="x", layer_sha256="5" * 64 if layer else "", allowed=allowed,
        volumes={"/mnt/demo": len(volume)} if volume else {},
    )  # fmt: skip
    with kept.new("demo-1", lambda: None) as place:
        (place / "layer.tar").write_bytes(layer)
        (place / "volumes").mkdir()
        (place / "volumes" / volume_file("/mnt/demo")).write_bytes(volume)
        kept.write(place, made)
    return made


def _refused(
    given: Session, folder: Path, config: dict[str, Any] | None = None, snapshot: Snapshot | None = None
) -> str:
    with pytest.raises(ShareError, match="so nothing leaves") as caught:
        check(config or _config(), folder, snapshot, KNOWN, given)
    said = f"{caught.value} {caught.value.detail} {caught.value.hint}"
    assert SECRET not in said
    assert TOKEN not in said
    return said


def test_an_image_without_secrets_goes(given: Session, folder: Path) -> None:
    layer = tar(member("home/dev/note", b"plain"), member("home/dev/.wh.gone"))
    snapshot = _snapshot(given, layer=layer, volume=tar(member("./note", b"plain")))
    check(_config(Labels={"org.a": "b"}, Cmd=["devenv"]), folder, None, KNOWN, given)
    check(_config(), folder, snapshot, KNOWN, given)


@pytest.mark.parametrize("value", [SECRET, TOKEN])
@pytest.mark.parametrize(
    ("part", "named"),
    [
        (lambda value: {"Env": [f"MINE={value}"]}, "image: Env MINE"),
        (lambda value: {"Cmd": ["sh", "-c", f"login {value}"]}, "image: Cmd"),
        (lambda value: {"Entrypoint": [value]}, "image: Cmd"),
        (lambda value: {"Labels": {"org.mine": value}}, "image: label org.mine"),
    ],
)
def test_a_secret_in_the_configuration_refuses(
    part: Any, named: str, value: str, given: Session, folder: Path
) -> None:  # fmt: skip
    assert named in _refused(given, folder, _config(**part(value)))


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("files/0", "/etc/own"), (recipe.PRESET, f"/{recipe.PRESET}"),
        ("workspace/deep/er/notes.txt", "/workspace/deep/er/notes.txt"),
    ],
)  # fmt: skip
def test_a_secret_in_the_presets_files_refuses(name: str, inside: str, given: Session, folder: Path) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as file:
        file.write(f"# the password is {SECRET}\n")
    said = _refused(given, folder)
    assert f"{inside}:" in said
    assert "known-value" in said


def test_a_file_is_judged_by_its_name_too(given: Session, folder: Path) -> None:
    (folder / "workspace/.ssh").mkdir(parents=True)
    (folder / "workspace/.ssh/id_ed25519").write_text("x")
    assert "/workspace/.ssh/id_ed25519" in _refused(given, folder)


def test_a_secret_in_a_snapshots_layer_refuses(given: Session, folder: Path) -> None:
    layer = tar(member("home/dev", type=tarfile.DIRTYPE), member("home/dev/notes", f"a {TOKEN}".encode()))
    assert "/home/dev/notes:1: github-token" in _refused(given, folder, snapshot=_snapshot(given, layer=layer))


def test_a_secret_in_a_volume_refuses(given: Session, folder: Path) -> None:
    volume = tar(member("./deep/notes", SECRET.encode()))
    assert "/mnt/demo/deep/notes:1: known-value" in _refused(given, folder, snapshot=_snapshot(given, volume=volume))


def test_the_name_of_a_hard_link_and_the_target_of_a_link_are_judged(given: Session, folder: Path) -> None:
    volume = tar(
        member("./a", b"x=y"), member("./.env", type=tarfile.LNKTYPE, linkname="./a"),
        member("./soft", type=tarfile.SYMTYPE, linkname=f"https://{TOKEN}@h/"),
    )  # fmt: skip
    said = _refused(given, folder, snapshot=_snapshot(given, volume=volume))
    assert "/mnt/demo/.env: environment-file" in said
    assert "/mnt/demo/soft:1: github-token" in said


def test_what_the_snapshot_let_through_by_name_goes(given: Session, folder: Path) -> None:
    layer = tar(member("home/dev/notes", TOKEN.encode()), member("home/dev/.env", b"x=y"))
    volume = tar(member("./notes", SECRET.encode()))
    let_through = ("/home/dev/notes", "/home/dev/.env", "/mnt/demo/notes")
    check(_config(), folder, _snapshot(given, layer=layer, volume=volume, allowed=let_through), KNOWN, given)


def test_what_was_let_through_lets_nothing_else_through(given: Session, folder: Path) -> None:
    layer = tar(member("home/dev/notes", TOKEN.encode()), member("home/dev/notes2", TOKEN.encode()))
    said = _refused(given, folder, snapshot=_snapshot(given, layer=layer, allowed=("/home/dev/notes",)))
    assert "1 finding of" in said
    assert "/home/dev/notes2:1" in said


def test_of_many_findings_the_first_are_shown(given: Session, folder: Path) -> None:
    layer = tar(*(member(f"home/dev/{number:02}", TOKEN.encode()) for number in range(30)))
    said = _refused(given, folder, snapshot=_snapshot(given, layer=layer))
    assert "30 findings" in said
    assert "… and 10 more" in said
    assert "/home/dev/19" in said
    assert "/home/dev/20" not in said
