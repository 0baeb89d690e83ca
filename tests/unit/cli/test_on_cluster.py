"""Commands with `--on k8s`: what they refuse and whom they mean."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.cli import elsewhere, on_cluster, once
from devenv.cli.elsewhere import Command
from devenv.cluster import life
from devenv.doors.settings.targets import KubernetesTarget, SshTarget
from devenv.errors import UsageError
from devenv.plan.plan import plan
from devenv.render.kubernetes.objects import objects
from devenv.render.kubernetes.words import Wanted
from tests.unit.cluster.fake import FakeKubectl, pod
from tests.unit.examples import loaded, lock

TARGET = KubernetesTarget(name="k8s")


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command line whose notes and data are kept, in a folder without a project."""
    monkeypatch.chdir(tmp_path)
    said: list[Any] = []
    console = SimpleNamespace(note=said.append, data=said.append, json=said.append)
    return SimpleNamespace(dirs=SimpleNamespace(state=tmp_path / "state"), console=console, json=False, said=said)


def _command(called: str, /, *given: str, **values: Any) -> Command:
    return Command(name=called, values=values, words=(), given=frozenset(given))


@pytest.fixture
def kubectl(monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    deployments = []
    for name in ("one", "two"):
        found = objects(plan(loaded(), lock()), Wanted(name=name, image="x"))
        deployments.append(next(one for one in found if one["kind"] == "Deployment"))
    fake = FakeKubectl(*deployments, *(pod(one) for one in deployments))
    monkeypatch.setattr(on_cluster, "connect", lambda *_: fake)
    return fake


def test_what_does_not_work_there_is_told(app: Any, kubectl: FakeKubectl) -> None:
    with pytest.raises(UsageError, match="devenv snapshot does not work in a cluster") as caught:
        on_cluster.hand(app, TARGET, _command("snapshot"))
    assert "up" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="--gpu-mode means nothing in a cluster"):
        on_cluster.hand(app, TARGET, _command("up", "preset", "gpu_mode", preset="python"))
    with pytest.raises(UsageError, match="--all-users means nothing"):
        on_cluster.hand(app, TARGET, _command("stop", "names", "all_users", names=("one",)))


def test_an_environment_has_to_be_meant(app: Any, kubectl: FakeKubectl) -> None:
    with pytest.raises(UsageError, match="several environments can be meant"):
        on_cluster.hand(app, TARGET, _command("stop", names=()))
    with pytest.raises(UsageError, match="no environment is called 'three'"):
        on_cluster.hand(app, TARGET, _command("stop", "names", names=("three",)))
    on_cluster.hand(app, TARGET, _command("stop", "names", names=("two",)))
    assert app.said == ["two is stopped; its volumes are kept"]
    assert life.select(kubectl, "two").state == "stopped"  # type: ignore[arg-type]
    assert life.select(kubectl, "one").state == "running"  # type: ignore[arg-type]


def test_volumes_are_removed_by_name_only(app: Any, kubectl: FakeKubectl) -> None:
    with pytest.raises(UsageError, match="name the environment"):
        on_cluster.hand(app, TARGET, _command("down", "volumes", names=(), volumes=True))


def test_ps_lists_what_is_there(app: Any, kubectl: FakeKubectl) -> None:
    app.json = True
    on_cluster.hand(app, TARGET, _command("ps"))
    (found,) = app.said
    assert [(one["name"], one["state"], one["node"]) for one in found] == [
        ("one", "running", "n1"),
        ("two", "running", "n1"),
    ]
    assert {one["context"] for one in found} == {"bench"}


def test_a_log_of_no_service(app: Any, kubectl: FakeKubectl) -> None:
    with pytest.raises(UsageError, match="one has no service 'nope'"):
        on_cluster.hand(app, TARGET, _command("logs", name="one", service="nope"))


def test_exec_runs_in_the_workspace_as_services_do(
    app: Any, kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(on_cluster.process, "interactive", lambda command: ran.append(command) or 3)
    with pytest.raises(SystemExit) as caught:
        on_cluster.hand(app, TARGET, _command("exec", words=("one", "--", "ls", "-l"), name=None, workdir="sub"))
    assert caught.value.code == 3
    assert ran[0][-3:] == ["/workspace/sub", "ls", "-l"]
    assert "devenv-exec" in ran[0]


def test_one_command_runs_here_or_in_a_cluster(app: Any) -> None:
    target = SshTarget(name="box", destination="box")
    context: Any = SimpleNamespace(info_name="run", command=once.run, get_parameter_source=lambda _: None)
    values = {one.name: None for one in once.run.params} | {"command": ("true",)}
    with pytest.raises(UsageError, match="devenv run does not work on another machine yet"):
        elsewhere.hand(app, context, target, values)
