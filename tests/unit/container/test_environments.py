"""Which environment a command means, and whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.container.environments import Environments
from devenv.container.state import environment
from devenv.doors.docker.values import ContainerFacts
from devenv.errors import UsageError
from tests.unit.container.test_owner import OTHER, FakeEngine, facts, labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The state of the user's environments."""
    return tmp_path / "envs"


def _seen(folder: Path, *containers: ContainerFacts) -> Environments:
    return Environments(engine=lambda: FakeEngine(containers), folder=folder)


def _own(folder: Path, name: str, project: str = "") -> ContainerFacts:
    return facts(name, str(folder / name), project=project)


def test_an_environment_is_found_by_any_path_to_its_project_and_from_below(tmp_path: Path, folder: Path) -> None:
    project, below, linked, other = (tmp_path / name for name in ("project", "project/a/b", "linked", "other"))
    below.mkdir(parents=True)
    other.mkdir()
    (project / "devenv.yaml").write_text("extends: python\n")
    linked.symlink_to(project)
    seen = _seen(folder, _own(folder, "mine", str(linked)), _own(folder, "x"), _own(folder, "y"))
    for cwd in (project, linked, below):
        assert seen.meant(cwd).name == "mine"
    with pytest.raises(UsageError, match="several environments are here: mine, x, y"):
        seen.meant(other)
    moved = _seen(folder, _own(folder, "mine", str(other)))
    with pytest.raises(UsageError, match="this project has no environment"):
        moved.meant(below)


def test_the_only_one_is_meant_unless_a_reason_speaks_against_it(tmp_path: Path, folder: Path) -> None:
    seen = _seen(folder, _own(folder, "mine"), facts("other", OTHER))
    assert seen.meant(tmp_path).name == "mine"
    with pytest.raises(UsageError, match="no environment is named") as error:
        seen.meant(tmp_path, here_only="its data would be lost")
    assert error.value.hint == "its data would be lost"
    with pytest.raises(UsageError, match="you have no environment on this engine; 'devenv ps' lists those of other"):
        _seen(folder, facts("other", OTHER)).meant(tmp_path)


def test_a_name_of_another_user_is_shown_and_not_acted_on(folder: Path) -> None:
    seen = _seen(folder, facts("demo", OTHER))
    with pytest.raises(UsageError, match="is another user's"):
        seen.named("demo")
    with pytest.raises(UsageError, match="is another user's"):
        seen.now("demo")
    assert seen.named("demo", look=True).name == seen.named("demo", all_users=True).name == "demo"
    with pytest.raises(UsageError, match="unknown environment 'nope'; environments here: demo"):
        seen.named("nope", look=True)
    with pytest.raises(UsageError, match=r"unknown environment 'nope'; environments here: mine$"):
        _seen(folder, facts("demo", OTHER), _own(folder, "mine")).named("nope")
    assert seen.now("nope") is None


def test_a_token_is_known_for_ones_own_container_alone(folder: Path) -> None:
    token = environment("demo", folder).token()
    (mine,), (other,) = (_seen(folder, one).engine().containers("dev.devenv.name") for one in (
        _own(folder, "demo"), facts("demo", OTHER)
    ))  # fmt: skip
    assert _seen(folder, mine).known_token(_seen(folder, mine).named("demo")) == token
    strange = _seen(folder, other)
    assert strange.known_token(strange.named("demo", look=True)) is None


def test_what_a_container_left_is_its_state_and_with_all_users_its_volumes(folder: Path) -> None:
    seen = _seen(folder)
    assert not seen.is_left("demo")
    volumes = Environments(engine=lambda: FakeEngine((), {"devenv-demo-data": labels("", OTHER)}), folder=folder)
    assert (volumes.is_left("demo"), volumes.is_left("demo", all_users=True)) == (False, True)
    environment("demo", folder).token()
    assert seen.is_left("demo")
    assert not _seen(folder, _own(folder, "demo")).is_left("demo")
