"""Stopping and removing, without the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devenv.container.environments import Environments
from devenv.container.life import Removal, down, stop
from devenv.errors import NotReadyError, UsageError
from tests.unit.container.test_owner import OTHER, FakeEngine, facts, labels


class House:
    """One environment, `demo`, its data volume and its network; `said` is what was reported."""

    def __init__(self, folder: Path, *, owner: str = "", state: str = "running") -> None:
        mine = str(folder / "demo")
        made = dataclasses.replace(facts("demo", owner or mine), state=state)
        self.engine = FakeEngine((made,), {"devenv-demo-data": labels("", owner or mine)})
        self.environments = Environments(engine=lambda: self.engine, folder=folder)
        self.said: list[str] = []
        self.environments.state("demo").token()


def test_a_running_one_is_stopped_and_one_that_cannot_be_is_said(tmp_path: Path) -> None:
    house, dead = House(tmp_path), House(tmp_path, state="dead")
    stop("demo", house.environments, note=house.said.append)
    assert (house.engine.acts, house.said) == ([("stop", "devenv-demo")], ["demo is stopped"])
    stop("demo", dead.environments, note=dead.said.append)
    assert dead.engine.acts == []
    assert dead.said[0].startswith("demo is dead: ")


def test_volumes_token_and_ports_stay_unless_they_are_to_go(tmp_path: Path) -> None:
    house = House(tmp_path)
    state = house.environments.state("demo")
    state.keep_ports({8000: 9000})
    down("demo", house.environments, Removal(), note=house.said.append)
    assert house.said == ["demo is down; its volumes are kept"]
    assert house.engine.acts == [("stop", "devenv-demo"), ("remove", "devenv-demo"), ("remove network", "devenv-demo")]
    assert (state.ports(), state.known_token() is None) == ({8000: 9000}, False)
    down("demo", house.environments, Removal(ports=True), note=house.said.append)
    assert state.ports() == {}
    down("demo", house.environments, Removal(volumes=True), note=house.said.append)
    assert (house.engine.kept, state.known_token()) == ({}, None)
    assert house.said[-1] == "demo is down; its volumes are removed"


def test_nothing_of_another_users_is_touched_without_the_wish(tmp_path: Path) -> None:
    house = House(tmp_path, owner=OTHER)
    with pytest.raises(UsageError, match="another user's"):
        stop("demo", house.environments, note=house.said.append)
    with pytest.raises(UsageError, match="another user's"):
        down("demo", house.environments, Removal(volumes=True), note=house.said.append)
    assert (house.engine.acts, house.said) == ([], [])
    down("demo", house.environments, Removal(volumes=True, all_users=True), note=house.said.append)
    assert house.engine.kept == {}


def test_volumes_that_another_user_left_stay_without_the_wish(tmp_path: Path) -> None:
    house = House(tmp_path, owner=OTHER)
    house.engine.made.clear()
    house.environments.state("demo").token_file.unlink()
    with pytest.raises(UsageError, match="the volume devenv-demo-data was made"):
        down("demo", house.environments, Removal(volumes=True), note=house.said.append)
    assert (house.engine.acts, house.said) == ([], [])


def test_volumes_that_a_one_off_command_has_stay(tmp_path: Path) -> None:
    house = House(tmp_path)
    run = dataclasses.replace(facts("demo-run-1", ""), labels={"dev.devenv.run": "demo"})
    house.engine.made["devenv-demo-run-1"] = run
    with pytest.raises(NotReadyError, match="devenv-demo-run-1 of 'devenv run' has the volumes of demo"):
        down("demo", house.environments, Removal(volumes=True), note=house.said.append)
    assert (house.engine.acts, house.said) == ([], [])
    down("demo", house.environments, Removal(), note=house.said.append)
    assert house.said == ["demo is down; its volumes are kept"]
