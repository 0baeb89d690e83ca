from __future__ import annotations

from pathlib import Path

from devenv.container.host_settings import brought
from devenv.doors.settings.tool_configs import git_user
from tests.unit.doors.settings.test_settings import put, read


def test_git_inside_knows_who_commits_and_nothing_else_of_the_user(tmp_path: Path) -> None:
    put(tmp_path, {
        "home/.config/git/config": "[user]\nname = Old\nemail = ann@x\n",
        "home/.gitconfig": '[user]\nname = "Ann \\\\ \\"A\\" Lee"\nsigningkey = K\n[credential]\nhelper = store\n',
    })  # fmt: skip
    told = brought(read(tmp_path), {}, "debian").git_config
    assert git_user(told) == {"name": 'Ann \\ "A" Lee', "email": "ann@x"}, "as git itself reads it back"
    assert "directory = /workspace" in told
    assert "worktreePruneExpire = never" in told
    assert not {"K", "store", "helper"} & set(told.split())


def test_the_file_that_git_is_told_counts_alone(tmp_path: Path) -> None:
    put(tmp_path, {"home/.gitconfig": "[user]\nname = Ann\nemail = ann@x\n", "mine": "[user]\nname = Me\n"})
    assert read(tmp_path, {"GIT_CONFIG_GLOBAL": str(tmp_path / "mine")}).git_user == {"name": "Me"}


def test_without_a_name_git_is_told_none(tmp_path: Path) -> None:
    assert "[user]" not in brought(read(tmp_path), {}, "debian").git_config
