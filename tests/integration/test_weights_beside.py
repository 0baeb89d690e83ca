"""Weights beside a build, and the volume that they become: what happens when one of the two goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.doors.dirs import Dirs
from devenv.doors.process import lines
from devenv.doors.terminal.console import Console
from devenv.doors.terminal.stages import Stages
from devenv.errors import BuildError, EngineError, FetchError, UsageError
from devenv.lock.model import LockedModel
from devenv.up.session import Session
from devenv.up.weights import Bringing
from devenv.weights import volume
from devenv.weights.download.prefetch import prefetch
from devenv.weights.store import Weights
from tests.integration.hub import Hub, locked, settings

FILES = {"model.safetensors": bytes(range(256)) * 4000, "config.json": b"{}"}


class Engine:
    """An engine's volumes and their containers, with the real engine's answers."""

    def __init__(self) -> None:
        self.volumes: dict[str, tuple[str, Mapping[str, str]]] = {}
        self.users: list[str] = []
        self.removed: list[str] = []

    def volume(self, name: str) -> tuple[str, Mapping[str, str]] | None:
        return self.volumes.get(name)

    def ensure_volume(self, name: str, labels: Mapping[str, str], *, folder: str | None = None) -> None:
        assert folder is not None
        assert Path(folder).is_dir()
        self.volumes[name] = (folder, labels)

    def remove_volume(self, name: str) -> None:
        self.volumes.pop(name, None)

    def containers_with(self, _: str) -> tuple[Any, ...]:
        return tuple(SimpleNamespace(name=f"devenv-{one}", labels={"dev.devenv.name": one}) for one in self.users)

    def remove(self, name: str) -> None:
        self.removed.append(name)


@pytest.fixture(autouse=True)
def _no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", "/nonexistent")


def _bringing(model: LockedModel, root: Path, hub: Hub, engine: Engine, own: str = "") -> Bringing:
    session = Session(
        dirs=Dirs(cache=root, state=root, config=root), settings=settings(root, huggingface=hub),
        stages=Stages(Console()), engine=lambda: engine, carried={},  # type: ignore[arg-type,return-value]
    )  # fmt: skip
    return Bringing(model, session, own=own)


def test_both_come_and_the_volume_holds_the_folder(tmp_path: Path) -> None:
    engine, model = Engine(), locked(FILES)
    with Hub(FILES) as hub, _bringing(model, tmp_path, hub, engine) as one:
        assert one.beside(lambda _: "image") == "image"
    store = Weights(tmp_path / "weights")
    assert store.present(model)
    assert engine.volumes[volume.name(model.key)][0] == str(store.folder(model.key))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("waits_for", ["a process", "a lock"])
def test_weights_that_cannot_be_had_end_the_build_soon(waits_for: str, tmp_path: Path) -> None:
    waits = threading.Event()

    def refused(_: str) -> str:
        waits.wait(30)
        return "404"

    def build(inner: Session) -> None:
        if waits_for == "a process":
            command = ["sh", "-c", "echo at work >&2; exec sleep 600"]  # as BuildKit's
            for _ in lines(command, cancel=inner.cancel):
                waits.set()
        else:
            waits.set()
            inner.cancel.wait(600)

    with Hub(FILES) as hub:
        hub.next_fault = refused  # type: ignore[method-assign]
        with _bringing(locked(FILES), tmp_path, hub, Engine()) as one, pytest.raises(FetchError, match="cannot get"):
            one.beside(build)


def test_a_build_that_fails_ends_the_weights_soon_and_keeps_what_came(tmp_path: Path) -> None:
    def build(_: Session) -> None:
        while hub.sent < 100_000:
            time.sleep(0.01)
        raise BuildError("no")

    with Hub(FILES) as hub:
        hub.rate_bytes_s = 50_000
        with _bringing(locked(FILES), tmp_path, hub, Engine()) as one, pytest.raises(BuildError):
            one.beside(build)
        assert hub.sent < locked(FILES).size
        hub.rate_bytes_s = 0
        chosen = settings(tmp_path, huggingface=hub)
        report = prefetch(locked(FILES), store=Weights(chosen.hubs.dir), settings=chosen)
        assert report.bytes < locked(FILES).size


def test_nobody_removes_a_model_that_an_up_is_about_to_use(tmp_path: Path) -> None:
    store, model = Weights(tmp_path / "weights"), locked(FILES)
    with Hub(FILES) as hub:
        with _bringing(model, tmp_path, hub, Engine()) as one:
            one.beside(lambda _: None)
            with pytest.raises(UsageError, match="about to use"), store.unused(model.key):
                pass
            with _bringing(model, tmp_path, hub, Engine()) as other:  # a second environment may
                other.beside(lambda _: None)
        with store.unused(model.key):
            store.remove(model.key)


def test_what_went_away_during_the_build_is_brought_again(tmp_path: Path) -> None:
    store, model = Weights(tmp_path / "weights"), locked(FILES)
    with Hub(FILES) as hub:
        with _bringing(model, tmp_path, hub, Engine()) as one:
            one.beside(lambda _: None)
        with _bringing(model, tmp_path, hub, Engine()) as one:
            one.beside(lambda _: store.remove(model.key))
        assert store.present(model)


@pytest.mark.parametrize(
    ("labels", "users", "told"),
    [({}, [], "did not make"), ({"dev.devenv.model": "x"}, ["other"], "other uses it")],
)
def test_a_volume_that_may_not_be_had_is_told_before_the_first_byte(
    labels: dict[str, str], users: list[str], told: str, tmp_path: Path
) -> None:
    engine, model = Engine(), locked(FILES)
    engine.volumes[volume.name(model.key)] = ("", labels)
    engine.users = users
    with Hub(FILES) as hub:
        with pytest.raises(EngineError, match=told), _bringing(model, tmp_path, hub, engine):
            pass
        assert not hub.seen
    assert volume.name(model.key) in engine.volumes, "it stays"
    assert not engine.removed


def test_a_store_that_moved_takes_its_environment_along(tmp_path: Path) -> None:
    engine, model = Engine(), locked(FILES)
    (tmp_path / "weights").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "weights")
    engine.volumes[volume.name(model.key)] = ("/old", {"dev.devenv.model": model.key})
    engine.users = ["mine"]
    with Hub(FILES) as hub, _bringing(model, tmp_path, hub, engine, own="mine") as one:
        one.beside(lambda _: None)
    assert engine.removed == ["devenv-mine"]
    folder = Weights(tmp_path / "weights").folder(model.key)
    assert engine.volumes[volume.name(model.key)][0] == str(folder)
    assert volume.check(model, Weights(tmp_path / "link").folder(model.key), engine)  # type: ignore[arg-type]
