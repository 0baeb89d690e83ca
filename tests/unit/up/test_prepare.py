"""What comes before an image and a container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.container.state import environment
from devenv.errors import UsageError
from devenv.plan.plan import plan
from devenv.up.decide import Decided
from devenv.up.making import making
from devenv.up.prepare import Wishes, mountable, remember, shown_at
from devenv.up.session import Session
from tests.unit.examples import loaded, lock


def test_a_link_to_a_project_is_followed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert mountable(tmp_path / "link") == tmp_path / "real"
    assert mountable(None) is None


def test_a_folder_that_docker_cannot_mount_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        mountable(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9")))


def test_a_role_that_the_preset_does_not_have_is_refused_before_anything_is_asked(
    tmp_path: Path, session: Session
) -> None:
    decided = Decided(loaded=loaded(), lock=lock(), plan=plan(loaded(), lock()))
    wishes = Wishes(role="serve")
    with (
        pytest.raises(UsageError, match="marks no service as the model's; its services: ide, jupyter"),
        making(decided, environment("demo", tmp_path), session, project=None, wishes=wishes),
    ):
        pass


def test_a_base_path_is_the_environments_until_another_is_given(tmp_path: Path) -> None:
    env = environment("demo", tmp_path)
    assert shown_at(env, Wishes()) is None
    asked = shown_at(env, Wishes(base_path="https://portal.example/me/"))
    assert asked is not None
    remember(env, asked)
    assert shown_at(env, Wishes()) == asked
    assert shown_at(env, Wishes(once=True)) is None, "a command of 'run' publishes nothing"
    assert shown_at(env, Wishes(base_path="none")) is None
    with pytest.raises(UsageError, match="the base path"):
        shown_at(env, Wishes(base_path="me"))
    remember(env, None)
    assert shown_at(env, Wishes()) is None
    env.keep("base_path.json", "/../x")
    assert shown_at(env, Wishes()) is None


def test_a_wrong_base_path_is_refused_before_anything_is_asked(tmp_path: Path, session: Session) -> None:
    decided = Decided(loaded=loaded(), lock=lock(), plan=plan(loaded(), lock()))
    with (
        pytest.raises(UsageError, match="has a user name or password"),
        making(
            decided, environment("demo", tmp_path), session, project=None,
            wishes=Wishes(base_path="https://me:x@portal.example/"),
        ),
    ):  # fmt: skip
        pass
