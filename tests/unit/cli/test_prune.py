"""What `prune` takes, and whose."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv import cli
from devenv.build import own_images
from devenv.cli.app import App
from devenv.container import container, devcontainer
from devenv.container.labels import RUN
from devenv.doors.dirs import Dirs
from devenv.doors.docker.local_tag import BASE_TAG, BELOW_TAG, EDITOR_TAG
from devenv.doors.docker.values import NetworkFacts
from devenv.errors import EngineError
from devenv.snapshot.store import Snapshot, Snapshots

MINE, OTHERS, BUSY = "devenv/mine:1", "devenv/others:1", "devenv/busy:1"
IMAGES = {
    MINE: "1", OTHERS: "2", BUSY: "3", "devenv/used:1": "4", "elsewhere:1": "5", f"{EDITOR_TAG}old": "6",
    f"{BASE_TAG}last": "7", "devenv/below:1": "8", f"{BELOW_TAG}killed": "8",
    "devenv/ran:1": "10", "devenv/client:1": "12",
}  # fmt: skip

# Name, the environment in its label, and whether it is another user's.
NETWORKS = (
    ("devenv-left", "left", False), ("devenv-used", "used", False), ("devenv-joined", "joined", False),
    ("devenv-ran", "ran", False), ("devenv-theirs", "theirs", True), ("elsewhere", "left", False), ("devenv-../x", "../x", True),
)  # fmt: skip


def _network(name: str, environment: str, others: bool, root: Path) -> NetworkFacts:
    owner = "/home/other/envs" if others else str(root)
    labels = {"dev.devenv.name": environment, "dev.devenv.owner": f"{owner}/{environment}"}
    return NetworkFacts(id=name, name=name, labels=labels)


def _runs(root: Path) -> tuple[Any, ...]:
    """Containers of `devenv run`: one that never began, another user's, one that runs, and one with a strange label."""
    rows = [("run-left", "demo", "created", root), ("run-theirs", "demo", "created", Path("/home/other/envs")),
            ("run-now", "demo", "running", root), ("run-odd", "../x", "created", root)]  # fmt: skip
    return tuple(
        SimpleNamespace(
            name=name, state=state, network="devenv-ran", image="10",
            labels={RUN: environment, "dev.devenv.owner": f"{folder}/{environment}"},
        )
        for name, environment, state, folder in rows
    )  # fmt: skip


@pytest.fixture
def removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tags that were removed from an engine of several users."""
    gone: list[str] = []

    def remove(tag: str) -> None:
        if tag == BUSY:
            raise EngineError("a container has it")
        gone.append(tag)

    def unplug(id_: str) -> bool:
        if id_ == "devenv-joined":
            return False
        gone.append(id_)
        return True

    dirs = Dirs(cache=tmp_path / "cache", state=tmp_path / "state", config=tmp_path)

    engine = SimpleNamespace(
        image_labels=lambda image: {"dev.devenv.image.below": "devenv/below:1"} if image == "4" else {},
        images=lambda _: tuple((tag, id_, 10) for tag, id_ in IMAGES.items()), remove_image=remove,
        networks=lambda **_: tuple(_network(*one, dirs.environments) for one in NETWORKS), remove_network=unplug,
        containers=lambda label: _runs(dirs.environments) if label == RUN else (SimpleNamespace(network="devenv-used"),),
        remove=gone.append, build_cache_bytes=lambda: 2_000_000_000,
    )  # fmt: skip
    (dirs.contexts / "demo").mkdir(parents=True)
    own_images.keep(dirs.images, (tag for tag in IMAGES if tag != OTHERS))
    monkeypatch.setattr(App, "engine", engine)
    monkeypatch.setattr("devenv.cli.app.Dirs", SimpleNamespace(of=lambda _: dirs))
    used = SimpleNamespace(facts=SimpleNamespace(image="4", labels={}))
    client = SimpleNamespace(facts=SimpleNamespace(image="11", labels={"dev.devenv.image": "devenv/client:1"}))
    monkeypatch.setattr(container, "everything", lambda _: (used,))
    monkeypatch.setattr(devcontainer, "everything", lambda _: (client,))
    return gone


def _prune(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert cli.run(["prune", "--json", *options]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_images_of_other_users_stay(removed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = _prune(capsys)
    assert removed == [MINE, f"{BELOW_TAG}killed", "run-left", "devenv-left"]
    assert (told["runs"], [*told["images"], *told["networks"]]) == (["run-left"], [*removed[:2], "devenv-left"])
    assert (told["kept"], told["others"], told["bytes"]) == ([BUSY], [OTHERS], 20)
    assert not (tmp_path / "cache/contexts").exists()
    assert not own_images.is_own(tmp_path / "state/images", MINE)


def test_what_a_snapshot_of_a_used_image_is_laid_over_stays(
    removed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _prune(capsys, "--all", "--all-users")
    assert "devenv/below:1" not in removed
    assert "devenv/client:1" not in removed, "a dev container client made an image from it, which a container has"
    assert f"{BELOW_TAG}killed" in removed  # a further tag of the same image, of a run that was killed


@pytest.mark.parametrize("options", [(), ("--all", "--all-users")])
def test_an_imported_image_stays_while_its_snapshot_does(
    options: tuple[str, ...], removed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Snapshots(tmp_path / "state/snapshots")
    imported = Snapshot(
        name="shop-1", environment="shop", preset="shop", message="", made="2026-01-01T00:00:00+00:00", user="me",
        lock_digest="x", origin="sha256:1", image=MINE,
    )  # fmt: skip
    with kept.new("shop-1", lambda: None) as place:
        kept.write(place, imported)
    _prune(capsys, *options)
    assert MINE not in removed
    kept.remove("shop-1", lambda: None)
    _prune(capsys, *options)
    assert MINE in removed


def test_they_go_where_that_is_asked_for(removed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _prune(capsys, "--all-users")["others"] == []
    assert sorted(removed) == [f"{BELOW_TAG}killed", "devenv-left", "devenv-theirs", MINE, OTHERS, "run-left"]


def test_a_dry_run_says_the_same_and_does_nothing(
    removed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = _prune(capsys, "--dry-run", "--all")
    assert told["images"] == [MINE, BUSY, f"{EDITOR_TAG}old", f"{BELOW_TAG}killed", f"{BASE_TAG}last"]
    assert (told["others"], told["dry_run"]) == ([OTHERS], True)
    assert told["folders"] == [str(tmp_path / "cache/contexts")]
    assert removed == []
    assert (tmp_path / "cache/contexts/demo").is_dir()
    assert cli.run(["prune", "--dry-run"]) == 0
    printed = [MINE, BUSY, f"{BELOW_TAG}killed", "devenv-left", "devenv-joined", "run-left"]
    assert [*printed, str(tmp_path / "cache/contexts")] == capsys.readouterr().out.splitlines()


def test_what_else_could_go_is_told(removed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del removed
    stored = tmp_path / "cache/store/sha256/ab"
    stored.mkdir(parents=True)
    (stored / "abc").write_bytes(b"x" * 8192)
    (stored / "twin").hardlink_to(stored / "abc")
    left = _prune(capsys, "--dry-run")["reclaimable"]
    assert left == {"stored_bytes": 8192, "build_cache_bytes": 2_000_000_000}
    assert cli.run(["prune"]) == 0
    said = capsys.readouterr().err
    assert "of stored files are left: devenv prune --all" in said
    assert "2.0 GB of the builder's cache" in said
    assert _prune(capsys, "--all")["reclaimable"]["stored_bytes"] == 0
