"""Containers of dev container clients: what is read of them, whose they are, and what acts on them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from devenv.container import condition, devcontainer, labels
from devenv.container.environments import Environments
from devenv.container.life import Removal, down, stop
from devenv.doors.docker.engine import labels_json
from devenv.doors.docker.values import ContainerFacts, Mount, container_facts
from devenv.errors import NotReadyError, UsageError
from devenv.plan.inside import PlannedService
from tests.unit.container.test_owner import FakeEngine, facts
from tests.unit.container.test_owner import labels as volume_labels

TOKEN = "0123456789abcdef0123"
SERVICE = PlannedService(
    name="ide", command=("x",), port=8443, auth="token", listen=None, url="/?token={token}", health_path="/",
    health_status=200, env=(), timeout_s=1,
)  # fmt: skip


def made(project: Path | str, name: str = "quiet_ada", /, **changed: str) -> ContainerFacts:
    """A container as the reference client makes it."""
    told = {"devcontainer": "1", "preset": "demo", "lock": "l", "image": "devenv/demo:1", "smoke": "[]", "ports": "[]"}
    told |= {"services": labels_json([SERVICE.document()])} | changed
    return ContainerFacts(
        id="abcdef0123456789", name=name, state="running", exit_code=0, image="vsc-1", started_at="",
        ports=((8443, 49001),), labels={f"dev.devenv.{key}": value for key, value in told.items()},
        mounts=(
            Mount(kind="bind", source=str(project), target="/workspace"),
            Mount(kind="volume", source="devenv-demo-data-1x2", target="/mnt/demo"),
        ),
    )  # fmt: skip


class Engine(FakeEngine):
    """It prints `told` for every command in a container."""

    told = (0, f"{TOKEN}\n", "")

    def exec(self, name: str, command: Sequence[str], *, user: str = "", tell: Any = None) -> tuple[int, str, str]:
        return self.told

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name) if name in ("exec", "told") else super().__getattribute__(name)


def seen(
    folder: Path, *containers: ContainerFacts, volumes: Mapping[str, Mapping[str, str]] | None = None
) -> tuple[Environments, Engine]:  # fmt: skip
    engine = Engine(containers, volumes)
    return Environments(engine=lambda: engine, folder=folder / "envs"), engine


@pytest.mark.parametrize(("changed", "why"), [
    ({"devcontainer": "2"}, "a newer devenv"),
    ({"devcontainer": "x"}, "a newer devenv"),
    ({"services": "{}"}, "dev.devenv.services cannot be read"),
    ({"smoke": ""}, "dev.devenv.smoke cannot be read"),
    ({"services": labels_json([{**SERVICE.document(), "url": "@example.org/?token={token}"}])}, "names what no preset"),
    ({"services": labels_json([{**SERVICE.document(), "name": "../x"}])}, "names what no preset"),
    ({"services": labels_json([{**SERVICE.document(), "health_path": "/\r\nX: y"}])}, "names what no preset"),
    ({"ports": '[["\\u001b[31m", 1]]'}, "dev.devenv.ports names what no preset"),
])  # fmt: skip
def test_labels_of_strangers_make_a_container_that_nothing_acts_on(
    changed: dict[str, str], why: str, tmp_path: Path
) -> None:
    environments, engine = seen(tmp_path, made(tmp_path, **changed))
    (one,) = environments.every()
    assert why in one.unreadable
    assert not environments.is_own(one)
    assert environments.known_token(one) is None
    for act in (lambda: environments.named("quiet_ada", devcontainers=True), lambda: _stop(environments)):
        with pytest.raises(UsageError, match="devenv did not make the container 'quiet_ada'"):
            act()
    assert engine.acts == []


def _stop(environments: Environments) -> None:
    stop("quiet_ada", environments, note=lambda _: None)


def test_without_a_folder_at_workspace_it_has_no_owner(tmp_path: Path) -> None:
    facts_ = dataclasses.replace(made(tmp_path), mounts=())
    one = labels.of_devcontainer(facts_)
    assert one.unreadable == "no folder is mounted at /workspace"
    assert not devcontainer.is_own(one, os.getuid())


def test_it_is_the_user_s_whose_folder_it_has(tmp_path: Path) -> None:
    one = labels.of_devcontainer(made(tmp_path))
    assert devcontainer.is_own(one, tmp_path.stat().st_uid)
    assert not devcontainer.is_own(one, tmp_path.stat().st_uid + 1)
    (tmp_path / "file").touch()
    for project in (tmp_path / "gone", tmp_path / "file", "a\0b"):
        assert not devcontainer.is_own(labels.of_devcontainer(made(project)), tmp_path.stat().st_uid)


@pytest.mark.parametrize(("told", "token"), [
    ((0, f"{TOKEN}\n", ""), TOKEN),
    ((1, "", "head: cannot open"), None),
    ((0, "short\n", ""), None),
    ((0, f"{TOKEN}\x1b[31m\n", ""), None),
    ((0, "a" * 201, ""), None),
])  # fmt: skip
def test_its_token_is_read_where_its_boot_wrote_it(
    told: tuple[int, str, str], token: str | None, tmp_path: Path
) -> None:
    environments, engine = seen(tmp_path, made(tmp_path))
    engine.told = told
    (one,) = environments.every()
    assert environments.known_token(one) == token
    if token:
        assert one.urls(environments.kept_token(one)) == {"ide": f"http://127.0.0.1:49001/?token={token}"}
    else:
        with pytest.raises(NotReadyError, match="quiet_ada shows no token"):
            environments.kept_token(one)


def test_no_command_is_run_for_the_token_of_one_that_stands_still(tmp_path: Path) -> None:
    environments, _ = seen(tmp_path, dataclasses.replace(made(tmp_path), state="paused"))
    (one,) = environments.every()
    assert environments.known_token(one) is None


def test_another_user_s_is_shown_and_acted_on_only_with_the_wish(tmp_path: Path) -> None:
    engine = Engine((made(tmp_path),))
    other = Environments(engine=lambda: engine, folder=tmp_path / "envs", uid=tmp_path.stat().st_uid + 1)
    (one,) = other.every()
    assert other.known_token(one) is None
    with pytest.raises(UsageError, match="the dev container 'quiet_ada' is another user's"):
        other.named("quiet_ada", devcontainers=True)
    with pytest.raises(UsageError, match="is another user's"):
        _stop(other)
    assert engine.acts == []
    assert other.named("quiet_ada", devcontainers=True, look=True).name == "quiet_ada"
    stop("quiet_ada", other, note=lambda _: None, all_users=True)
    assert engine.acts == [("stop", "quiet_ada")]


def test_only_commands_that_take_it_find_it(tmp_path: Path) -> None:
    environments, _ = seen(tmp_path, made(tmp_path))
    assert environments.named("quiet_ada", devcontainers=True).is_devcontainer
    with pytest.raises(UsageError, match="a dev container client made 'quiet_ada'") as error:
        environments.named("quiet_ada")
    assert f"cd {tmp_path} && devenv up" in (error.value.hint or "")
    with pytest.raises(UsageError, match="environments here: none"):
        environments.named("nope")
    with pytest.raises(UsageError, match="environments here: quiet_ada"):
        environments.named("nope", devcontainers=True)
    assert environments.meant(tmp_path, devcontainers=True).name == "quiet_ada"
    with pytest.raises(UsageError, match="a dev container client made 'quiet_ada'"):
        environments.meant(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(UsageError, match="you have no environment on this engine"):
        environments.meant(tmp_path / "elsewhere")


def test_an_environment_of_up_comes_first(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    own = facts("demo", str(tmp_path / "envs" / "demo"), project=str(project))
    environments, _ = seen(tmp_path, made(project), own)
    assert environments.meant(project, devcontainers=True).name == "demo"
    assert environments.meant(tmp_path, devcontainers=True).name == "demo"
    same_name, engine = seen(tmp_path, made(project, "demo"), own)
    assert not same_name.named("demo", devcontainers=True).is_devcontainer
    stop("demo", same_name, note=lambda _: None)
    assert engine.acts == [("stop", "devenv-demo")]


def test_two_of_one_project_have_to_be_named(tmp_path: Path) -> None:
    environments, _ = seen(tmp_path, made(tmp_path), made(tmp_path, "shy_bell"))
    with pytest.raises(UsageError, match="several environments are here: quiet_ada, shy_bell"):
        environments.meant(tmp_path, devcontainers=True)


def test_down_removes_the_container_and_names_the_volumes_that_stay(tmp_path: Path) -> None:
    environments, engine = seen(tmp_path, made(tmp_path))
    said: list[str] = []
    with pytest.raises(UsageError, match="its volumes are not devenv's to remove") as error:
        down("quiet_ada", environments, Removal(volumes=True), note=said.append)
    assert "docker volume rm devenv-demo-data-1x2" in (error.value.hint or "")
    assert (engine.acts, said) == ([], [])
    down("quiet_ada", environments, Removal(), note=said.append)
    assert engine.acts == [("stop", "quiet_ada"), ("remove", "quiet_ada")]
    assert said == ["quiet_ada is down; its volumes are kept: devenv-demo-data-1x2"]
    assert not [one for one in tmp_path.rglob("*") if one.name != "devcontainers"], "nothing of its state is left"


def test_volumes_that_another_container_has_stay(tmp_path: Path) -> None:
    mine = str(tmp_path / "envs" / "demo")
    volumes = {"devenv-demo-data": volume_labels("", mine)}
    # As a devcontainer.json of an older devenv, and compose.yaml, mount it.
    other = dataclasses.replace(
        made(tmp_path), mounts=(Mount(kind="volume", source="devenv-demo-data", target="/mnt/demo"),)
    )
    environments, engine = seen(tmp_path, facts("demo", mine), other, volumes=volumes)
    said: list[str] = []
    with pytest.raises(NotReadyError, match="the volume devenv-demo-data is in use by another container: quiet_ada"):
        down("demo", environments, Removal(volumes=True), note=said.append)
    assert (engine.acts, said) == ([], [])
    down("demo", environments, Removal(), note=said.append)
    assert said == ["demo is down; its volumes are kept"]
    assert engine.kept == volumes


def test_a_port_that_the_engine_chose_is_known_while_the_container_runs() -> None:
    def ports(asked: Any, chosen: Any) -> tuple[tuple[int, int], ...]:
        return container_facts({
            "Id": "1", "Name": "/quiet_ada", "Image": "i", "State": {"Status": "running"}, "Config": {},
            "HostConfig": {"PortBindings": {"8443/tcp": asked}}, "NetworkSettings": {"Ports": chosen},
        }).ports  # fmt: skip

    given = {"8443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49001"}], "9/tcp": [{"HostPort": "1"}]}
    for left_open in ("", "0"):
        assert ports([{"HostIp": "127.0.0.1", "HostPort": left_open}], given) == ((8443, 49001),)
        assert ports([{"HostIp": "127.0.0.1", "HostPort": left_open}], {}) == ()
    assert ports([{"HostIp": "127.0.0.1"}], {"8443/tcp": None}) == ()
    assert ports([{"HostIp": "127.0.0.1", "HostPort": "8444"}], {}) == ((8443, 8444),), (
        "it keeps its port while stopped"
    )


def test_what_only_its_client_can_make_again_is_said(tmp_path: Path) -> None:
    one = labels.of_devcontainer(dataclasses.replace(made(tmp_path), state="dead"))
    assert "'devcontainer up' makes its container again" in (condition.remedy(one) or "")
