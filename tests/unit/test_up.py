"""Who the user inside is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.plan import UID
from devenv.up import container_user


@pytest.mark.parametrize(
    ("host", "owner", "inside"),
    [
        ((1234, 1235), (1234, 1235), (1234, 1235)),
        ((1234, 1235), (7, 8), (1234, 1235)),
        ((0, 0), (1001, 1002), (1001, 1002)),
        ((0, 0), (1001, 0), (1001, UID)),
        ((0, 0), (0, 0), (0, 0)),
        ((0, 0), None, (UID, UID)),
    ],
)
def test_the_user_inside_is_the_host_user_or_for_root_the_projects_owner(
    host: tuple[int, int], owner: tuple[int, int] | None, inside: tuple[int, int]
) -> None:
    settings: Any = SimpleNamespace(uid=host[0], gid=host[1])
    project: Any = owner and SimpleNamespace(stat=lambda: SimpleNamespace(st_uid=owner[0], st_gid=owner[1]))
    assert container_user(settings, project) == inside


def test_a_folder_on_the_disk_is_asked(tmp_path: Path) -> None:
    settings: Any = SimpleNamespace(uid=0, gid=0)
    status = tmp_path.stat()
    assert container_user(settings, tmp_path) == ((status.st_uid, status.st_gid or UID) if status.st_uid else (0, 0))
