"""Who the user inside is."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.container.user import User, check_workspace, container_user
from devenv.errors import NotReadyError
from devenv.plan.inside import UID


def _user(uid: int) -> User:
    return User(uid=uid, gid=uid, outside=uid)


@pytest.mark.parametrize(
    ("host", "owner", "inside"),
    [
        ((1234, 1235), (1234, 1235), (1234, 1235, 1234)),
        ((1234, 1235), (7, 8), (1234, 1235, 1234)),
        ((0, 0), (1001, 1002), (1001, 1002, 1001)),
        ((0, 0), (1001, 0), (1001, UID, 1001)),
        ((0, 0), (0, 0), (0, 0, 0)),
        ((0, 0), None, (UID, UID, UID)),
    ],
)
def test_the_user_inside_is_the_host_user_or_for_root_the_projects_owner(
    host: tuple[int, int], owner: tuple[int, int] | None, inside: tuple[int, int, int]
) -> None:
    settings: Any = SimpleNamespace(uid=host[0], gid=host[1])
    project: Any = owner and SimpleNamespace(stat=lambda: SimpleNamespace(st_uid=owner[0], st_gid=owner[1]))
    found = container_user(settings, project)
    assert (found.uid, found.gid, found.outside) == inside


def test_a_folder_on_the_disk_is_asked(tmp_path: Path) -> None:
    settings: Any = SimpleNamespace(uid=0, gid=0)
    status = tmp_path.stat()
    found = container_user(settings, tmp_path)
    assert (found.uid, found.gid) == ((status.st_uid, status.st_gid or UID) if status.st_uid else (0, 0))


def test_in_a_rootless_engine_root_inside_is_the_host_user(tmp_path: Path) -> None:
    settings: Any = SimpleNamespace(uid=70_000, gid=70_000)
    assert container_user(settings, tmp_path, rootless=True) == User(uid=0, gid=0, outside=70_000)
    assert container_user(settings, None, rootless=True) == User(uid=UID, gid=UID, outside=70_000)


def test_root_inside_is_said_with_who_that_is_outside(tmp_path: Path) -> None:
    own = tmp_path.stat().st_uid
    tmp_path.chmod(0o777)
    remark = check_workspace(tmp_path, User(uid=0, gid=0, outside=own or 1234))
    assert remark == (
        f"the engine is rootless: you run as root in the container, which is uid {own or 1234} on this machine, so new files are yours"
    )
    tmp_path.chmod(0o755)
    other = check_workspace(tmp_path, User(uid=0, gid=0, outside=own + 1))
    assert other is not None
    assert f"chown -R {own + 1}" in other


def test_a_workspace_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(NotReadyError, match="cannot read the project folder"):
        check_workspace(tmp_path, _user(1000))


def test_a_workspace_of_someone_else_is_a_warning_with_the_remedy(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    own = tmp_path.stat().st_uid
    assert check_workspace(tmp_path, _user(own)) is None or own == 0
    warning = check_workspace(tmp_path, _user(own + 1))
    assert warning is not None
    assert warning.startswith("warning: ")
    assert "chown" in warning
    tmp_path.chmod(0o777)
    remark = check_workspace(tmp_path, _user(0))
    assert remark is not None
    assert "you run as root in the container" in remark
