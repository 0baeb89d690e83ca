"""The command line of `devenv diff`: what it prints, writes and exits with."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv import cli
from devenv.cli.app import App
from devenv.drift import begin, diff, show, write_patch
from devenv.drift.diff import Drift, VolumeSize
from devenv.drift.items import Item
from devenv.drift.patch import Left, Patch
from devenv.drift.write_patch import Written
from devenv.secrets.known import KnownValues
from tests.unit.drift.test_container import running


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The environment `t` whose comparison gives `drift`, whose patch gives `written`, and whose file `change`; `asked`
    is what the rooms were asked."""
    values: dict[str, Any] = {"asked": []}

    def asked(name: str, *about: Any) -> Any:
        values["asked"].append((name, *about))
        return values[name]

    monkeypatch.setattr(App, "select", lambda _, name, **options: asked("running", name, options["all_users"]))
    monkeypatch.setattr(App, "engine", SimpleNamespace())
    monkeypatch.setattr(App, "session", lambda *_: SimpleNamespace())
    monkeypatch.setattr("devenv.cli.known_secrets.known_secrets", lambda *_: KnownValues())
    monkeypatch.setattr(begin, "begin", lambda *_: "begun")
    monkeypatch.setattr(diff, "diff", lambda _running, _session, begun: asked("drift", begun))
    monkeypatch.setattr(write_patch, "write_patch", lambda _drift, _running, file, *_: asked("written", file))
    monkeypatch.setattr(show, "changed_text", lambda _running, path, *_: asked("change", path))
    values.update(running=running(), drift=_drift(), written=_written(), change="")
    return values


def _drift(*items: Item, noise: int = 0, volumes: tuple[VolumeSize, ...] = ()) -> Drift:
    lock: Any = SimpleNamespace(digest="l")
    return Drift(
        environment="t", image="i", lock=lock, preset={}, items=items, noise=noise, volumes=volumes,
    )  # fmt: skip


def _written(change: str = "", left: tuple[Left, ...] = (), **parts: Any) -> Written:
    found = Patch(**{"add": {}, "replace": {}, "remove": {}, "files": {}, "left": left, **parts})
    return Written(file=Path("/p/devenv.yaml"), change=change, patch=found, left=left)


ITEMS = (
    Item(kind="python", change="added", name="six", now="1.16", asked_for=True),
    Item(kind="file", change="removed", name="/etc/motd"),
)


def test_no_difference_is_success(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["diff"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "t is as its lock says\n")
    assert given["asked"] == [("running", None, False), ("drift", "begun")]


def test_differences_are_listed_by_class_and_are_status_12(
    given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given["drift"] = _drift(
        *ITEMS, noise=3,
        volumes=(
            VolumeSize(name="devenv-t-data", mount="/mnt/t", bytes=2000),
            VolumeSize(name="v", mount="/v", bytes=-1), VolumeSize(name="/home/me/p", mount="/workspace", bytes=-1),
        ),
    )  # fmt: skip
    assert cli.run(["diff", "t", "--all-users"]) == 12
    printed = capsys.readouterr()
    assert [line.split() for line in printed.out.splitlines()] == [
        ["Python", "packages"], ["+", "six", "1.16"], ["own", "files"], ["-", "/etc/motd"],
    ]  # fmt: skip
    assert "not compared: /mnt/t, the volume devenv-t-data (2.0 kB)" in printed.err
    assert "not compared: /v, the volume v (size unknown)" in printed.err
    assert "not compared: /workspace, the folder /home/me/p\n" in printed.err
    assert "left out: 3 files" in printed.err
    assert "error: t is not as its lock says: 2 differences" in printed.err
    assert "devenv diff t --patch" in printed.err
    assert given["asked"][0] == ("running", "t", True)


def test_json_is_one_document_and_the_status_stays(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    given["drift"] = _drift(*ITEMS)
    assert cli.run(["diff", "--json"]) == 12
    document = json.loads(capsys.readouterr().out)
    assert (document["environment"], document["equal"]) == ("t", False)
    assert [one["name"] for one in document["items"]] == ["six", "/etc/motd"]


@pytest.mark.parametrize(("words", "file"), [(["--patch"], None), (["--patch", "x.yaml"], Path("x.yaml"))])
def test_a_patch_is_shown_with_what_is_left(
    words: list[str], file: Path | None, given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given["drift"] = _drift(*ITEMS)
    left = Left(kind="file", name="/etc/motd", why="a preset cannot remove it", remedy="remove it in 'setup:'")
    given["written"] = _written(
        "+pip:\n+  - six==1.16\n", (left,), add={"pip": ("six==1.16",)}, refresh={"/a": "environment-files/a"}
    )
    assert cli.run(["diff", "t", *words]) == 0
    printed = capsys.readouterr()
    assert printed.out == "+pip:\n+  - six==1.16\n"
    assert given["asked"][-1] == ("written", file)
    for told in ("not in the preset:", "a preset cannot remove it", "copied again: environment-files/a"):
        assert told in printed.err
    assert "/p/devenv.yaml is changed; now: devenv lock, devenv up; a new container lacks" in printed.err


def test_an_empty_patch_and_one_of_copies_alone(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["diff", "t", "--patch"]) == 0
    assert capsys.readouterr().err.endswith("nothing to write\n")
    given["written"] = _written(refresh={"/a": "environment-files/a"})
    assert cli.run(["diff", "t", "--patch"]) == 0
    assert "/p/devenv.yaml stays as it is; now: devenv lock, devenv up\n" in capsys.readouterr().err


def test_a_patch_as_json(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    given["written"] = _written("+x\n", add={"apt": ("tree",)})
    assert cli.run(["diff", "t", "--patch", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["change"], document["add"]) == ("+x\n", {"apt": ["tree"]})


def test_one_file_is_shown_and_nothing_is_compared(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["diff", "t", "--show", "/etc/motd"]) == 0
    assert capsys.readouterr().err == "/etc/motd is as in the image\n"
    given["change"] = "--- image\n+++ container\n+hello\n"
    assert cli.run(["diff", "t", "--show", "/etc/motd"]) == 12
    assert capsys.readouterr().out == given["change"]
    assert cli.run(["diff", "t", "--show", "/etc/motd", "--json"]) == 12
    document = {"environment": "t", "path": "/etc/motd", "change": given["change"]}
    assert json.loads(capsys.readouterr().out) == document
    assert ("drift", "begun") not in given["asked"]


def test_show_and_patch_exclude_each_other(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["diff", "t", "--show", "/a", "--patch"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    assert given["asked"] == []
