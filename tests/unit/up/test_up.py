"""What `up` does with the container that is there."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.build.image import Image
from devenv.checks import readiness
from devenv.container import container as boot
from devenv.container.spec import decide
from devenv.container.state import environment
from devenv.errors import EngineError
from devenv.plan.plan import plan
from devenv.plan.role import in_role
from devenv.up import up as up_module
from devenv.up.prepare import Token, Wishes
from devenv.up.up import wake
from tests.unit.container.test_network import FakeEngine
from tests.unit.container.test_owner import facts
from tests.unit.examples import loaded, lock


@pytest.mark.parametrize(
    ("state", "cut_off", "acts"),
    [
        ("running", True, ["stop", "connect", "start"]),
        ("exited", True, ["connect", "start"]),
        ("running", False, []),
    ],
)
def test_a_container_that_lost_its_network_is_started_again_on_a_new_one(
    state: str, cut_off: bool, acts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "Watch", lambda *_, **__: "watch")
    env, engine, notes = environment("demo", tmp_path), FakeEngine(), list[str]()
    session: Any = SimpleNamespace(engine=lambda: engine, stages=SimpleNamespace(note=notes.append), cancel=None)
    for act in ("stop", "start"):
        monkeypatch.setattr(engine, act, lambda name, act=act, **_: engine.acts.append((act, name)), raising=False)
    made = dataclasses.replace(
        facts("demo", str(env.folder)), state=state, network="devenv-demo", is_cut_off=cut_off
    )  # fmt: skip
    assert wake(boot.describe(made), env, session)
    assert [act[0] for act in engine.acts] == acts
    assert len(notes) == cut_off


class _Filled:
    """An engine that has volumes, and unpacks tars into them."""

    def __init__(self, *volumes: str) -> None:
        self.volumes = {*volumes}
        self.put: list[str] = []
        self.fails: BaseException | None = None

    @contextlib.contextmanager
    def laid_open(self, image: str, volumes: dict[str, str]) -> Iterator[str]:
        assert image == "image"
        yield " ".join(f"{mount}:{name}" for mount, name in volumes.items())

    def volume(self, name: str) -> tuple[str, dict[str, str]] | None:
        return ("", {}) if name in self.volumes else None

    def put_archive(self, container: str, folder: str, archive: Any) -> None:
        assert container == f"{folder}:{folder[1:]}", (
            "nothing of the host is mounted where a stranger's tar is unpacked"
        )
        if self.fails:
            raise self.fails
        self.put.append(f"{folder} {archive.read().decode()}")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`_start_new` of a container with two volumes, which a snapshot fills; the notes."""
    env = environment("demo", tmp_path / "envs")
    env.folder.mkdir(parents=True)
    mounts = [SimpleNamespace(kind="volume", read_only=False, source=one, target=f"/{one}") for one in ("a", "b")]
    mounts.append(SimpleNamespace(kind="bind", read_only=False, source="/home/me/project", target="/workspace"))
    spec: Any = SimpleNamespace(name="devenv-demo", image="image", mounts=mounts)
    fill = {}
    for one in ("a", "b"):
        (tmp_path / one).write_text(f"tar {one}")
        fill[f"/{one}"] = tmp_path / one
    monkeypatch.setattr(readiness, "Watch", lambda *_, **__: "watch")
    monkeypatch.setattr(boot, "start", lambda *_: None)

    def act(engine: _Filled) -> list[str]:
        notes: list[str] = []
        monkeypatch.setattr(boot, "create", lambda *_: engine.volumes.update("ab"))
        session: Any = SimpleNamespace(engine=lambda: engine, stages=SimpleNamespace(note=notes.append), cancel=None)
        up_module._start_new(spec, None, env, session, fill)
        return notes

    return act


def test_new_volumes_begin_with_what_the_snapshot_has(start: Any) -> None:
    engine = _Filled("a")
    assert start(engine) == ["/a is there already and stays as it is; the snapshot's is not used"]
    assert engine.put == ["/b tar b"]
    assert len(start(engine)) == 2
    assert engine.put == ["/b tar b"]  # they exist now


def test_volumes_that_a_killed_run_did_not_fill_are_filled(start: Any) -> None:
    engine = _Filled("a")
    engine.fails = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        start(engine)
    assert engine.volumes == {"a", "b"}
    engine.fails = None
    assert len(start(engine)) == 1
    assert engine.put == ["/b tar b"]
    assert len(start(engine)) == 2


def test_a_tar_that_the_engine_does_not_unpack_names_its_volume_and_a_way_on(start: Any) -> None:
    engine = _Filled("b")
    engine.fails = EngineError("no such path")
    with pytest.raises(EngineError, match="what the snapshot has for /a: no such path") as caught:
        start(engine)
    assert "devenv down demo --volumes" in str(caught.value.hint)


def test_another_role_replaces_the_container_and_is_said(tmp_path: Path) -> None:
    services = {"model": {"command": ("m",), "port": 8600, "auth": "none", "role": "serve"}}
    found, env = plan(loaded(services=services), lock()), environment("demo", tmp_path)
    image = Image(reference="devenv/demo:1", id="sha256:1", cached=True)

    def spec(role: str) -> Any:
        return decide(in_role(found, role), image, env, project=None, uid=1, gid=1, ports={})

    serving = boot.describe(
        dataclasses.replace(facts("demo", str(env.folder)), labels=dict(spec("serve").labels), image=image.id)
    )
    for role, words in (
        ("workbench", "its role changes from serve to workbench: the container is replaced, its volumes are kept"),
        ("serve", ""),
    ):
        decided: Any = SimpleNamespace(plan=found, lock=lock())
        told = up_module._changes(serving, decided, spec(role), Token("t", is_new=False), Wishes(role=role))
        assert told == words
