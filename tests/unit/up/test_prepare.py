"""The folder that a run mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.errors import UsageError
from devenv.up.prepare import mountable


def test_a_link_to_a_project_is_followed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert mountable(tmp_path / "link") == tmp_path / "real"
    assert mountable(None) is None


def test_a_folder_that_docker_cannot_mount_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        mountable(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9")))
