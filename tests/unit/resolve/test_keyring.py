from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.web import Web
from devenv.doors.settings.settings import Settings
from devenv.doors.settings.tool_configs import AptSource
from devenv.errors import LockError
from devenv.fetch.store import Store
from devenv.resolve import keyring as room
from tests.unit.handmade import deb, settings


@pytest.fixture
def mine(tmp_path: Path) -> Settings:
    source = AptSource(uri="http://m", suites=("bookworm", "trixie", "bookworm-security"), components=("main",))
    return dataclasses.replace(settings(tmp_path), release="debian/bookworm", keyrings=tmp_path / "keys", apt=(source,))


def find(distribution: str, mine: Settings, root: Path) -> Path | None:
    return room.keyring(distribution, settings=mine, store=Store(root / "s"), web=Web(mine))


def test_an_installed_key_ring_is_used(mine: Settings, tmp_path: Path) -> None:
    mine.keyrings.mkdir()
    path = mine.keyrings / "ubuntu-archive-keyring.gpg"
    path.touch()
    assert find("ubuntu", mine, tmp_path) == path


def test_the_machines_own_distribution_needs_no_other(mine: Settings, tmp_path: Path) -> None:
    assert find("debian", mine, tmp_path) is None
    assert find("ubuntu", dataclasses.replace(mine, release=""), tmp_path) is None


def test_another_distributions_keys_come_from_a_package_that_this_machines_apt_vouches_for(
    mine: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    class Apt:
        def __init__(self, *, distribution: str, release: str, **_: Any) -> None:
            self.where = (distribution, release)

        def resolve(self, names: tuple[str, ...]) -> Any:
            asked.append(self.where)
            if self.where[1] != "trixie":
                raise LockError("no such package")
            return tuple(deb(name) for name in names)

    def extract(command: tuple[str, ...]) -> None:
        folder = Path(command[-1]) / "usr/share/keyrings"
        folder.mkdir(parents=True)
        (folder / "ubuntu-archive-keyring.gpg").write_text("keys")

    monkeypatch.setattr(room, "Apt", Apt)
    monkeypatch.setattr(room, "bring", lambda *_: None)
    monkeypatch.setattr(room, "run", extract)
    found = find("ubuntu", mine, tmp_path)
    assert found is not None
    assert found.read_text() == "keys"
    assert asked == [("debian", "bookworm"), ("debian", "trixie")]
