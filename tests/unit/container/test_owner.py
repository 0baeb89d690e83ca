from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv import cli
from devenv.container import container as boot
from devenv.container import labels as container_labels
from devenv.container import owner
from devenv.container.labels import Running
from devenv.container.owner import claim, keep, removable
from devenv.container.state import Environment, environment
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.values import ContainerFacts, Mount, NetworkFacts
from devenv.errors import UsageError

OTHER = "/home/other/envs/demo"


class FakeEngine(Engine):
    """An engine with these containers and volumes; `acts` is what was done to them."""

    def __init__(
        self, containers: tuple[ContainerFacts, ...] = (), volumes: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.made = {one.name: one for one in containers}
        self.kept = dict(volumes or {})
        self.wires = ["devenv-demo"]
        self.acts: list[tuple[str, str]] = []
        self.readers = True

    def containers(self, label: str) -> tuple[ContainerFacts, ...]:
        return tuple(one for one in self.made.values() if label in one.labels)

    def container(self, name: str) -> ContainerFacts | None:
        return self.made.get(name)

    def containers_with(self, volume: str) -> tuple[ContainerFacts, ...]:
        return tuple(one for one in self.made.values() if volume in {mount.source for mount in one.mounts})

    def volumes(self, label: str) -> tuple[tuple[str, Mapping[str, str]], ...]:
        key, _, value = label.partition("=")
        return tuple((name, labels) for name, labels in self.kept.items() if labels.get(key) == value)

    def volume(self, name: str) -> tuple[str, Mapping[str, str]] | None:
        return ("", self.kept[name]) if name in self.kept else None

    def stop(self, name: str, *, timeout_s: int = 10) -> None:
        self.acts.append(("stop", name))

    def remove(self, name: str) -> None:
        self.acts.append(("remove", name))
        del self.made[name]

    def remove_readers(self) -> None:
        self.readers = False

    def remove_volume(self, name: str) -> None:
        assert not self.readers, "the container of a run that was killed while it filled the volume has it"
        self.acts.append(("remove", name))
        del self.kept[name]

    def networks(self, **filters: str) -> tuple[NetworkFacts, ...]:
        return tuple(
            NetworkFacts(id=name, name=name, labels={"dev.devenv.name": "demo", "dev.devenv.owner": OTHER})
            for name in self.wires
            if filters == {"name": name}
        )

    def remove_network(self, id_: str) -> bool:
        self.acts.append(("remove network", id_))
        self.wires.remove(id_)
        return True

    def __getattribute__(self, name: str) -> Any:
        known = (
            "made",
            "kept",
            "acts",
            "containers",
            "container",
            "volumes",
            "volume",
            "stop",
            "remove",
            "remove_volume",
            "remove_readers",
            "readers",
            "wires",
            "networks",
            "remove_network",
            "containers_with",
        )
        if name.startswith("__") or name in known:
            return super().__getattribute__(name)
        raise AssertionError(f"{name}: nothing else is to be done to it")


def facts(name: str, folder: str, /, *, project: str = "", **labels: str) -> ContainerFacts:
    """A container as devenv makes it, for the user with that state folder."""
    ours = {"name": name, "project": project, "services": "[]", "smoke": "[]", "ports": "[]", **labels}
    return ContainerFacts(
        id="1", name=f"devenv-{name}", state="running", exit_code=0, image="i", started_at="", ports=(),
        labels={f"dev.devenv.{key}": value for key, value in ours.items()},
        mounts=(
            Mount(kind="bind", source=f"{folder}/host", target=container_labels.HOST_MOUNT),
            Mount(kind="volume", source=f"devenv-{name}-data", target=f"/mnt/{name}"),
            Mount(kind="volume", source="devenv-model-x-0", target=f"/mnt/{name}/model", read_only=True),
        ),
    )  # fmt: skip


def labels(project: str, folder: str, name: str = "demo") -> dict[str, str]:
    return {"dev.devenv.name": name, "dev.devenv.project": project, "dev.devenv.owner": folder}


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return environment("demo", tmp_path)


def running(env: Environment, *, project: str = "") -> Running:
    return container_labels.describe(facts("demo", str(env.folder), project=project))


def claimed(env: Environment, engine: Engine, *, project: str = "/a", take_over: bool = False) -> owner.Claim:
    found = boot.find(env.name, engine)
    return claim(env, engine, found, project=project, volumes=[env.data_volume], take_over=take_over)


# ---- who may act


def test_ones_own_may_be_acted_on_and_no_others(env: Environment) -> None:
    owner.check(running(env), env)
    other = container_labels.describe(facts("demo", OTHER))
    with pytest.raises(UsageError, match="another user's") as caught:
        owner.check(other, env)
    assert "--all-users" in str(caught.value.hint)
    assert "only its owner can start or open it" in str(caught.value.hint)
    owner.check(other, env, all_users=True)


def test_what_devenv_did_not_make_is_never_acted_on(env: Environment) -> None:
    strange = dataclasses.replace(running(env), unreadable="its label cannot be read")
    assert not owner.is_own(strange, env)
    with pytest.raises(UsageError, match="devenv did not make the container"):
        owner.check(strange, env, all_users=True)


# ---- the command line


COMMANDS = (
    ("down", "--volumes"), ("down",), ("stop",), ("start",), ("exec", "--name"), ("shell",), ("smoke",), ("logs",),
    ("open",),
)  # fmt: skip


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of this user's state; the current folder is empty."""
    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home" / "devenv" / "envs"


def connected(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> None:
    monkeypatch.setattr("devenv.doors.docker.engine.connect", lambda _: engine)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("named", [True, False])
def test_no_command_acts_on_an_environment_of_another_user(
    command: tuple[str, ...], named: bool, state: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    engine = FakeEngine((facts("demo", OTHER),), {"devenv-demo-data": labels("", OTHER)})
    connected(monkeypatch, engine)
    name = ["demo"] if named else []
    rest = ["true"] if command[0] == "exec" else []
    arguments = [*(command if named else [one for one in command if one != "--name"]), *name, *rest]
    assert cli.run(arguments) == 2
    assert ("another user's" if named else "environment") in capsys.readouterr().err
    assert engine.acts == []
    assert not list(state.rglob("token")), "no token is made for what is another's"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("strange", ["label", "mount"])
def test_no_command_acts_on_what_devenv_did_not_make(
    command: tuple[str, ...], strange: str, state: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    made = facts("demo", str(state / "demo"), services="garbage" if strange == "label" else "[]")
    engine = FakeEngine((made if strange == "label" else dataclasses.replace(made, mounts=()),))
    connected(monkeypatch, engine)
    options = ["--all-users"] if command[0] not in ("start", "open") else []
    arguments = [command[0], *options, *command[1:], "demo", *(["true"] if command[0] == "exec" else [])]
    assert cli.run(arguments) == 2
    assert "devenv did not make the container" in capsys.readouterr().err
    assert engine.acts == []


def test_all_users_is_for_whoever_means_it(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = {"devenv-demo-data": labels("", OTHER), "precious": labels("", OTHER)}
    engine = FakeEngine((facts("demo", OTHER),), volumes)
    connected(monkeypatch, engine)
    assert cli.run(["stop", "--all-users", "demo"]) == 0
    assert cli.run(["down", "--all-users", "--volumes", "demo"]) == 0
    assert engine.acts == [
        ("stop", "devenv-demo"), ("stop", "devenv-demo"), ("remove", "devenv-demo"), ("remove network", "devenv-demo"),
        ("remove", "devenv-demo-data"),
    ]  # fmt: skip
    assert list(engine.kept) == ["precious"], "a label alone makes no volume ours"


def test_volumes_are_removed_by_name_or_by_their_own_project(
    state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = str(state / "demo")
    engine = FakeEngine((facts("demo", folder, project=str(tmp_path / "here")),))
    connected(monkeypatch, engine)
    monkeypatch.chdir(tmp_path)
    assert cli.run(["down", "--volumes"]) == 2, "it is the only one, but nobody named it"
    assert engine.acts == []
    monkeypatch.chdir(tmp_path / "here")
    assert cli.run(["down", "--volumes"]) == 0
    assert ("remove", "devenv-demo") in engine.acts


@pytest.mark.parametrize("command", ["open", "start"])
@pytest.mark.parametrize("text", [None, ""])
def test_a_token_that_is_lost_is_said_by_name(
    command: str, text: str | None, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    env = environment("demo", state)
    env.host_folder.mkdir(parents=True)
    if text is not None:
        env.token_file.write_text(text)
    connected(monkeypatch, FakeEngine((facts("demo", str(env.folder)),)))
    assert cli.run([command, "demo"]) == 9
    assert str(env.token_file) in capsys.readouterr().err
    assert not env.known_token(), "only 'up' makes one"


def test_ps_marks_what_it_cannot_read_and_whose_it_is(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = dataclasses.replace(facts("demo", OTHER, name="../../etc", preset="\x1b[2J"), name="evil")
    environment("demo", state).token()
    connected(monkeypatch, FakeEngine((facts("demo", OTHER), strange, facts("mine", str(state / "mine")))))
    assert cli.run(["ps"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "another user's" in rows["demo"]
    assert "unreadable" in rows["evil"]
    assert "\\x1b[2J" in rows["evil"]
    assert "another" not in rows["mine"]


# ---- names, volumes and state


def test_what_a_project_leaves_is_not_given_to_another(env: Environment) -> None:
    engine = FakeEngine()
    keep(env, claimed(env, engine))
    env.token()
    engine.kept["devenv-demo-data"] = labels("/a", str(env.folder))
    keep(env, claimed(env, engine))
    with pytest.raises(UsageError, match="for /a are kept") as caught:
        claimed(env, engine, project="/b")
    assert "--name" in str(caught.value.hint)
    assert "--take-over" in str(caught.value.hint)
    taken = claimed(env, engine, project="/b", take_over=True)
    keep(env, taken)
    assert claimed(env, engine, project="/b") == taken
    with pytest.raises(UsageError, match="for /b are kept"):
        claimed(env, engine, project="/a")


def test_volumes_tell_whose_they_are_where_the_state_is_gone(env: Environment) -> None:
    assert claimed(env, FakeEngine((), {"devenv-demo-data": labels("/a", str(env.folder))})).taken == frozenset()
    for project, folder in (("/b", str(env.folder)), ("/a", OTHER)):
        engine = FakeEngine((), {"devenv-demo-data": labels(project, folder)})
        with pytest.raises(UsageError, match="the volume devenv-demo-data was made"):
            claimed(env, engine)
        assert claimed(env, engine, take_over=True).taken == {(project, folder)}


def test_a_container_of_another_project_or_user_is_not_replaced(env: Environment) -> None:
    mine = FakeEngine((facts("demo", str(env.folder), project="/b"),))
    with pytest.raises(UsageError, match="exists already, for /b"):
        claimed(env, mine)
    assert claimed(env, mine, take_over=True).project == "/a"
    with pytest.raises(UsageError, match="another user's"):
        claimed(env, FakeEngine((facts("demo", OTHER, project="/a"),)), take_over=True)


def test_volumes_of_an_older_devenv_go_to_who_has_the_token(env: Environment) -> None:
    engine = FakeEngine((), {"devenv-demo-data": {"dev.devenv.name": "demo"}})
    with pytest.raises(UsageError, match="by an older devenv"):
        claimed(env, engine)
    env.token()
    keep(env, claimed(env, engine))
    assert claimed(env, engine).taken == {("", "")}
    assert removable(env, engine, None) == ("devenv-demo-data",)


def test_an_environment_that_an_older_devenv_brought_up_goes_on(env: Environment) -> None:
    env.token()
    engine = FakeEngine(
        (facts("demo", str(env.folder), project="/a"),), {"devenv-demo-data": {"dev.devenv.name": "demo"}}
    )
    assert claimed(env, engine) == owner.Claim(project="/a", taken=frozenset({("", "")}))


def test_a_volume_of_another_environment_or_program_is_not_used(env: Environment) -> None:
    env.token()
    engine = FakeEngine((), {"devenv-demo-data": {"com.docker.compose.project": "x"}})
    with pytest.raises(UsageError, match="another program"):
        claimed(env, engine)
    # The volume `data` of an environment `a` and the data of an environment `a-vol` have one name.
    engine = FakeEngine((), {"devenv-demo-data": labels("/a", str(env.folder), name="other")})
    with pytest.raises(UsageError, match="belongs to the environment 'other'"):
        claimed(env, engine, take_over=True)


@pytest.mark.parametrize("name", ["model", "model-x"])
def test_a_name_that_models_volumes_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="volumes of models"):
        claimed(environment(name, tmp_path), FakeEngine())


@pytest.mark.parametrize("up", [True, False])
def test_volumes_of_such_a_name_are_removed_where_there_is_one(up: bool, tmp_path: Path) -> None:
    env = environment("model-x", tmp_path)
    env.token()
    volumes = {"devenv-model-x-data": {}, "devenv-model-x-0": {}, "devenv-model-x-workspace": {"of": "another program"}}
    engine = FakeEngine((facts("model-x", str(env.folder)),) if up else (), volumes)
    assert removable(env, engine, boot.find("model-x", engine)) == ("devenv-model-x-data",), "and not a model's"


def test_volumes_that_were_taken_over_are_removed_too(env: Environment) -> None:
    volumes = {"devenv-demo-data": {"of": "another program"}, "devenv-demo-vol-x": labels("/b", OTHER)}
    engine = FakeEngine((), volumes)
    with pytest.raises(UsageError, match="by another user"):
        removable(env, engine, None)
    keep(env, claimed(env, engine, take_over=True))
    assert set(removable(env, engine, None)) == {*volumes}


def test_state_that_is_no_claim_counts_as_none(env: Environment) -> None:
    for value in (None, [], {"project": 1}, {"taken": []}):
        env.keep("owner.json", value)
        assert owner._kept(env) is None
    env.keep("owner.json", {"project": "/a", "taken": [1, ["a"], ["a", 1], ["a", "b"]]})
    assert owner._kept(env) == owner.Claim(project="/a", taken=frozenset({("a", "b")}))


def test_a_project_is_the_same_by_any_path_to_it_and_keeps_the_first(tmp_path: Path) -> None:
    project, linked = tmp_path / "project", tmp_path / "linked"
    project.mkdir()
    linked.symlink_to(project)
    demo = environment("demo", tmp_path / "environments")

    def known(path: Path, asked: Path | None) -> Path | None:
        return owner.known_path(demo, SimpleNamespace(project=str(path)), asked)  # type: ignore[arg-type]

    assert known(project, linked) == project
    assert known(linked, project) == linked
    assert known(tmp_path, linked) == linked, "another folder: it is refused by its own name"
    assert known(project, None) is None
    assert owner.known_path(demo, None, linked) == linked
    keep(demo, owner.Claim(project=str(project)))
    assert owner.known_path(demo, None, linked) == project
