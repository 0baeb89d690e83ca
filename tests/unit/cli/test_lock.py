"""`devenv lock` and `devenv fetch` through the command line's own entry; the resolver is stood in for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devenv.cli import run
from devenv.doors.http.hubs import UnreachedError
from devenv.errors import LockError
from devenv.lock.files import write
from devenv.lock.model import Lock, read
from devenv.preset.load import LoadedPreset, load
from devenv.resolve import resolver as room
from tests.unit.handmade import deb, lock

TEXT = 'name: mine\nbase: {bootstrap: debian/bookworm}\npython: "3.11"\napt: [git]\n'


class Resolver:
    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, loaded: LoadedPreset, _: object, **more: Any) -> Lock:
        self.calls.append(more)
        return lock(loaded.preset, apt=tuple(deb(name) for name in loaded.preset.apt))


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    made = Resolver()
    monkeypatch.setattr(room, "resolve", made)
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("CACHE", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    (folder / "devenv.yaml").write_text(TEXT)
    return folder


def test_lock_writes_a_lock_and_tells_what_changed(
    project: Path, resolver: Resolver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lock"]) == 0
    path = project / "devenv.lock"
    assert read(path).preset == "mine"
    assert capsys.readouterr().out == ""
    (project / "devenv.yaml").write_text(TEXT.replace("git", "git, jq"))
    assert run(["lock"]) == 0
    said = capsys.readouterr().err
    assert "jq: — → 1" in said
    assert said.rstrip().endswith(": 1 change")
    assert resolver.calls[1]["previous"].preset == "mine"
    assert run(["lock", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["changes"] == []
    assert answer["lock_digest"] == read(path).digest


def test_lock_upgrades_all_or_what_is_named(project: Path, resolver: Resolver) -> None:
    assert run(["lock"]) == 0
    for arguments, names in (
        (["--upgrade"], ("*",)),
        (["--upgrade", "git,jq", "--upgrade", "apt"], ("git", "jq", "apt")),
        ([], ()),
    ):
        assert run(["lock", *arguments]) == 0
        assert resolver.calls[-1]["upgrade"] == names


def test_a_damaged_lock_is_made_anew_after_saying_so(
    project: Path, resolver: Resolver, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "devenv.lock").write_text("{ damaged")
    assert run(["lock"]) == 0
    assert "warning" in capsys.readouterr().err
    assert resolver.calls[0]["previous"] is None
    assert read(project / "devenv.lock").preset == "mine"


def test_check_says_fits_or_exits_12_with_a_table(
    project: Path, resolver: Resolver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lock", "--check"]) == 4
    assert "devenv lock" in capsys.readouterr().err
    write(lock(load(project / "devenv.yaml").preset), project / "devenv.lock")
    assert run(["lock", "--check"]) == 0
    assert "fits" in capsys.readouterr().err
    (project / "devenv.yaml").write_text("# a note\n" + TEXT.replace("apt: [git]", "apt:   [ git ]"))
    assert run(["lock", "--check"]) == 0
    (project / "devenv.yaml").write_text(TEXT.replace("git", "jq"))
    before = (project / "devenv.lock").read_text()
    capsys.readouterr()
    assert run(["lock", "--check"]) == 12
    out, err = capsys.readouterr()
    assert "jq" in out
    assert "devenv lock" in err
    assert run(["lock", "--check", "--json"]) == 12
    answer = json.loads(capsys.readouterr().out)
    assert answer["fits"] is False
    assert {"section": "apt", "locked": "git", "wanted": "—"} in answer["drift"]
    assert (project / "devenv.lock").read_text() == before
    assert resolver.calls == []


def test_fetch_refuses_a_stale_lock(project: Path, resolver: Resolver, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lock"]) == 0
    (project / "devenv.yaml").write_text(TEXT.replace("3.11", "3.12"))
    capsys.readouterr()
    assert run(["fetch"]) == 4
    err = capsys.readouterr().err
    assert "python: 3.11 → 3.12" in err
    assert "hint: bring it up to date: devenv lock" in err


def test_a_hub_that_cannot_be_reached_tells_that_the_model_can_be_left_open(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreached(*_: Any, ask_hubs: bool, **__: Any) -> Lock:
        assert ask_hubs
        raise UnreachedError("cannot ask huggingface for acme/tiny", hint="check the network")

    monkeypatch.setattr(room, "resolve", unreached)
    assert run(["lock"]) == 8
    assert "devenv lock --without-model" in capsys.readouterr().err
    assert not (project / "devenv.lock").exists()
    assert run(["lock", "--without-model", "--upgrade", "model"]) == 2
    assert run(["lock", "--check", "--upgrade"]) == 2


def test_a_folder_in_the_locks_place_is_said_before_anything_is_resolved(
    project: Path, resolver: Resolver, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "devenv.lock").mkdir()
    assert run(["lock"]) == LockError.exit_code
    told = capsys.readouterr().err
    assert "it is a folder, not a file" in told
    assert "remove it" in told
    assert resolver.calls == []
