from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import docker.errors
import pytest

from devenv.container import network
from devenv.container.state import Environment, environment
from devenv.doors.docker.address import Endpoint
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.values import ContainerFacts, NetworkFacts, container_facts
from devenv.errors import EngineError, NotReadyError, UsageError


class FakeEngine(Engine):
    """An engine with these networks (name → labels), which keeps what is done; `busy` has a running container."""

    def __init__(self, networks: Mapping[str, Mapping[str, str]] | None = None, *, busy: str = "") -> None:
        self.wires = {
            name: NetworkFacts(id=f"id-{name}", name=name, labels=of) for name, of in (networks or {}).items()
        }
        self.busy = busy
        self.acts: list[tuple[str, ...]] = []

    def networks(self, **filters: str) -> tuple[NetworkFacts, ...]:
        return tuple(one for one in self.wires.values() if filters.get("name", "") in one.name)

    def create_network(self, name: str, labels: Mapping[str, str]) -> str:
        self.wires[name] = NetworkFacts(id=f"new-{name}", name=name, labels=labels)
        return self.wires[name].id

    def reconnect(self, container: str, network: str, *, is_cut_off: bool = False) -> None:
        self.acts.append(("connect" if is_cut_off else "reconnect", container, network))

    def remove_network(self, id_: str) -> bool:
        self.acts.append(("remove", id_))
        return id_ != self.busy


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return environment("demo", tmp_path)


def _container(
    name: str = "devenv-demo", id_: str = "id-devenv-demo", *, connected: Mapping[str, object] | None = None
) -> ContainerFacts:
    usual = {name: {"NetworkID": id_}, "of-the-user": {"NetworkID": "x"}}
    return container_facts({
        "Id": "1", "Name": "/devenv-demo", "State": {"Status": "exited"}, "Image": "i",
        "Config": {"Labels": {"dev.devenv.project": "/p"}}, "HostConfig": {"NetworkMode": name},
        "NetworkSettings": {"Networks": usual if connected is None else connected},
    })  # fmt: skip


def test_each_environment_gets_one_of_its_own_that_says_whose_it_is(env: Environment) -> None:
    engine = FakeEngine({"devenv-demo-other": {}, "bridge": {}})
    assert network.wanted(env, engine, has_ports=True) == "devenv-demo"
    made = network.ensure(env, engine, "/p")
    assert engine.wires["devenv-demo"].labels == {
        "dev.devenv.name": "demo", "dev.devenv.project": "/p", "dev.devenv.owner": str(env.folder),
    }  # fmt: skip
    assert network.ensure(env, engine, "/p") == made


def test_an_engine_without_networks_is_taken_for_what_needs_none(env: Environment) -> None:
    assert network.wanted(env, FakeEngine(), has_ports=False) == ""
    with pytest.raises(NotReadyError, match="no network") as caught:
        network.wanted(env, FakeEngine(), has_ports=True)
    assert "--bridge=none" in str(caught.value.hint)


@pytest.mark.parametrize("labels", [{}, {"dev.devenv.name": "other"}])
def test_what_devenv_did_not_make_is_refused_and_left(env: Environment, labels: Mapping[str, str]) -> None:
    engine = FakeEngine({"devenv-demo": labels})
    with pytest.raises(UsageError, match="did not make") as caught:
        network.ensure(env, engine, "")
    assert "docker network rm devenv-demo" in str(caught.value.hint)
    assert network.remove(env, engine, everybodys=True)
    assert engine.acts == []


def test_a_container_whose_network_was_taken_away_is_put_on_a_new_one(env: Environment) -> None:
    engine = FakeEngine()
    network.rejoin(_container(), env, engine)
    assert engine.acts == [("reconnect", "devenv-demo", "devenv-demo")]
    assert engine.wires["devenv-demo"].labels["dev.devenv.project"] == "/p"


def test_one_that_is_connected_already_is_left_alone(env: Environment) -> None:
    engine = FakeEngine({"devenv-demo": env.labels("/p")})
    network.rejoin(_container(), env, engine)
    network.rejoin(_container(id_=""), env, engine)  # made, and never started
    assert engine.acts == []


def test_one_that_was_disconnected_is_connected_again(env: Environment) -> None:
    engine = FakeEngine()
    cut_off = _container(connected={})
    assert cut_off.is_cut_off
    network.rejoin(cut_off, env, engine)
    assert engine.acts == [("connect", "devenv-demo", "devenv-demo")]
    assert engine.wires["devenv-demo"].labels["dev.devenv.name"] == "demo"


@pytest.mark.parametrize("mode", ["default", "host", "slirp4netns", "container:1"])
def test_only_a_network_of_its_own_can_be_missing(mode: str) -> None:
    assert not _container(mode, connected={}).is_cut_off


@pytest.mark.parametrize("name", ["default", "bridge", "none", ""])
def test_a_container_of_an_older_devenv_stays_where_it_is(env: Environment, name: str) -> None:
    engine = FakeEngine()
    network.rejoin(_container(name), env, engine)
    assert engine.wires == {}


@pytest.mark.parametrize(("busy", "gone"), [("", True), ("id-devenv-demo", False)])
def test_it_goes_with_its_environment_unless_something_else_is_on_it(env: Environment, busy: str, gone: bool) -> None:
    engine = FakeEngine({"devenv-demo": env.labels("")}, busy=busy)
    assert network.remove(env, engine, everybodys=False) is gone
    assert engine.acts == [("remove", "id-devenv-demo")]


def test_another_users_stays_unless_that_is_meant(env: Environment) -> None:
    engine = FakeEngine({"devenv-demo": {**env.labels(""), "dev.devenv.owner": "/home/other"}})
    assert network.remove(env, engine, everybodys=False)
    assert engine.acts == []
    network.remove(env, engine, everybodys=True)
    assert engine.acts == [("remove", "id-devenv-demo")]


@pytest.mark.parametrize(
    ("words", "answer"), [("network x has active endpoints", False), ("network x not found", None)]
)
def test_a_network_in_use_is_no_error(words: str, answer: bool | None) -> None:
    class Api:
        def remove_network(self, _: str) -> None:
            raise docker.errors.APIError("403", explanation=words)

    engine = Engine(type("Client", (), {"api": Api()}), version="26", endpoint=Endpoint(address=""))
    if answer is None:
        with pytest.raises(EngineError, match="network no longer exists"):
            engine.remove_network("x")
    else:
        assert engine.remove_network("x") is answer
