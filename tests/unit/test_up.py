"""Whose environment it is that `up` finds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv import up
from devenv.environment import Environment
from devenv.errors import UsageError


def _project(known: str, asked: Path | None, root: Path) -> Path | None:
    environment = Environment(name="demo", folder=root / "demo")
    running: Any = SimpleNamespace(name="demo", project=known, host_folder=str(environment.host_folder))
    return up._own_project(running, environment, asked)


def test_a_project_is_the_same_by_any_path_to_it_and_keeps_the_first(tmp_path: Path) -> None:
    project, linked = tmp_path / "project", tmp_path / "linked"
    project.mkdir()
    linked.symlink_to(project)
    assert _project(str(project), linked, tmp_path) == project
    assert _project(str(linked), project, tmp_path) == linked
    assert _project("", None, tmp_path) is None


def test_another_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    for known, asked in (("", tmp_path), (str(tmp_path), None), (str(tmp_path / "project"), tmp_path)):
        with pytest.raises(UsageError, match="exists already, for"):
            _project(known, asked, tmp_path)
