"""The container of one command: what it is made from, and the connection that ends it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import signal
from pathlib import Path
from typing import Any, cast

import pytest

from devenv.build.image import Image
from devenv.container import labels, once
from devenv.container.spec import decide
from devenv.container.state import environment
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.values import ContainerFacts, ContainerSpec, Mount, host_options
from devenv.plan.plan import plan
from tests.unit import handmade


class _Held:
    def __init__(self, did: list[str]) -> None:
        self.did = did

    def send(self, data: bytes) -> None:
        self.did.append(data.decode())

    def wait(self, seconds: float) -> None:
        self.did.append("wait")

    def close(self) -> None:
        self.did.append("close")


class _Engine:
    def __init__(self) -> None:
        self.did: list[str] = []
        self.made: tuple[ContainerFacts, ...] = ()

    def hold_main(self, name: str) -> Any:
        self.did.append(f"hold {name}")
        return _Held(self.did)

    def hold(self, name: str, command: list[str], *, user: str) -> Any:
        self.did.append(f"{user}: {command[-1]}")
        return _Held(self.did)

    def wait_removed(self, name: str, *, timeout_s: float) -> None:
        assert timeout_s > 10
        self.did.append("gone")

    def remove(self, name: str) -> None:
        self.did.append(f"remove {name}")

    def containers(self, label: str) -> tuple[ContainerFacts, ...]:
        assert label == "dev.devenv.run"
        return self.made


@pytest.fixture
def engine() -> _Engine:
    return _Engine()


def _connection(engine: _Engine) -> once.Connection:
    return once.Connection(cast("Engine", engine), "box")


def _like(root: Path) -> ContainerSpec:
    wish = handmade.preset()
    planned = plan(handmade.loaded(wish), handmade.lock(wish))
    return decide(
        planned, Image(reference="i:1", id="sha256:1", cached=True), environment("demo", root), project=None, uid=1000,
        gid=1000, ports={}, network="devenv-demo",
    )  # fmt: skip


def test_it_is_like_the_environments_container_and_is_no_environment(tmp_path: Path) -> None:
    like, further = _like(tmp_path), Mount(kind="bind", source="/a", target="/b")
    made = once.spec(like, environment("demo", tmp_path), [further])
    assert made.name.startswith("devenv-demo-run-")
    assert made.name != once.spec(like, environment("demo", tmp_path)).name
    assert (made.image, made.environment, made.mounts) == (like.image, like.environment, (*like.mounts, further))
    marks = dict(made.labels)
    assert (marks["dev.devenv.run"], marks["dev.devenv.owner"]) == ("demo", str(tmp_path / "demo"))
    assert marks["dev.devenv.image"]
    assert not {"dev.devenv.name", "dev.devenv.services", "dev.devenv.spec"} & {*marks}
    assert (host_options(made)["auto_remove"], host_options(like)["auto_remove"]) == (True, False)


def test_the_containers_of_environments_keep_their_digest(tmp_path: Path) -> None:
    """It is made from what older versions knew, so that an update of devenv replaces no container."""
    like = _like(tmp_path)
    *own, (_, digest), _, _ = like.labels
    known = dataclasses.asdict(dataclasses.replace(like, labels=tuple(own)))
    for later in ("once", "device_requests", "devices", "runtime", "health", "restart"):
        del known[later]
    assert digest == hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def test_the_command_ends_by_itself(engine: _Engine) -> None:
    with _connection(engine) as connection:
        connection.done()
    assert engine.did == ["hold box", "done\n", "gone", "close", "remove box"]


def test_a_failure_here_ends_it_at_once(engine: _Engine) -> None:
    with pytest.raises(KeyboardInterrupt), _connection(engine):
        raise KeyboardInterrupt
    assert engine.did == ["hold box", "close", "remove box"]


def test_signals_are_passed_on_and_the_second_ctrl_c_kills(engine: _Engine) -> None:
    with _connection(engine) as connection:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            connection.tell(number)
        connection.lost()
    assert engine.did[1:5] == ["15\n", "2\n", "15\n", "9\ndone\n"]
    assert "end\n" not in engine.did


def test_variables_go_where_nobody_else_sees_them(engine: _Engine) -> None:
    with _connection(engine) as connection:
        connection.give({"A": "it's", "B": "ü"})
        connection.done()
    text = "export A='it'\"'\"'s'\nexport B='ü'\n"
    assert engine.did[1:5] == [f"dev: {len(text.encode())}", text, "wait", "close"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_a_killed_run_never_started_is_removed(engine: _Engine, tmp_path: Path, dry_run: bool) -> None:
    def made(name: str, state: str, run: str = "demo", root: Path = tmp_path) -> ContainerFacts:
        marks = {labels.RUN: run, "dev.devenv.owner": str(root / run)}
        return ContainerFacts(
            id=name, name=name, state=state, exit_code=0, image="", labels=marks, ports=(), mounts=(), started_at=""
        )

    engine.made = (
        made("left", "created"), made("runs", "running"), made("others", "created", "second"),
        made("theirs", "created", root=Path("/other")),
    )  # fmt: skip
    assert once.remove_left(environment("demo", tmp_path), cast("Engine", engine), dry_run=dry_run) == ("left",)
    assert engine.did == ([] if dry_run else ["remove left"])
