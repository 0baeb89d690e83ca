from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from devenv.container import worktree
from devenv.container.worktree import OutsideError, outside


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A repository with the worktree `tree` beside it, as git 2.39 writes them."""
    record = tmp_path / "main/.git/worktrees/tree"
    for folder in ("objects", "refs", "worktrees/tree"):
        (tmp_path / "main/.git" / folder).mkdir(parents=True)
    (tmp_path / "main/.git/HEAD").write_text("ref: refs/heads/main\n")
    (record / "commondir").write_text("../..\n")
    (record / "gitdir").write_text(f"{tmp_path}/tree/.git\n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.git").write_text(f"gitdir: {record}\n")
    return tmp_path / "main"


def test_a_worktree_brings_its_repositorys_git_folder_and_itself(main: Path, tmp_path: Path) -> None:
    assert outside(tmp_path / "tree") == (main / ".git", tmp_path / "tree")
    (tmp_path / "linked").symlink_to(tmp_path / "tree")
    assert outside(tmp_path / "linked") == (main / ".git", tmp_path / "tree")


def test_other_projects_bring_nothing(main: Path, tmp_path: Path) -> None:
    assert outside(main) == ()
    (plain := tmp_path / "plain").mkdir()
    assert outside(plain) == ()
    for text in ("not git's", "gitdir: own/git\n"):
        (plain / ".git").write_text(text)
        assert outside(plain) == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("gitdir: ../main/.git/modules/sub\n", "submodule"),
        ("gitdir: {home}\n", "submodule"),
        ("gitdir: ../main/.git/worktrees/tree\n", "relative path"),
        ("gitdir: {top}/nothing/worktrees/tree\n", "does not exist or is a link"),
        ("gitdir: {top}/secrets/worktrees/tree\n", "not the record of a worktree"),
        ("gitdir: {top}/main/.git/worktrees/tree\n", "record of another worktree"),
        ("gitdir: {top}/main/../main/.git/worktrees/tree\n", "does not exist or is a link"),
        ("gitdir: {top}/evil/git/worktrees/x\n", "not the record of a worktree"),
        ("gitdir: {top}/evil/home/worktrees/x\n", "does not exist or is a link"),
        (f"gitdir: /{'x' * 5000}", "larger"),
    ],
)
def test_a_strangers_git_file_gets_no_folder_of_the_host(text: str, why: str, main: Path, tmp_path: Path) -> None:
    (tmp_path / "secrets/worktrees/tree").mkdir(parents=True)
    evil = tmp_path / "evil"
    for folder in ("objects", "refs", "worktrees/x"):
        (evil / "git" / folder).mkdir(parents=True)
    (evil / "git/HEAD").write_text("ref: x\n")
    (evil / "git/worktrees/x/commondir").write_text("../..\n")
    (evil / "git/worktrees/x/gitdir").write_text(f"{evil}/.git\n")
    (evil / "home").symlink_to(tmp_path)
    (tmp_path / "worktrees/x").mkdir(parents=True)
    (evil / ".git").write_text(text.format(top=tmp_path, home=Path.home()))
    with pytest.raises(OutsideError, match=why):
        outside(evil)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("commondir", "../../../..\n"),
        ("gitdir", "/nowhere/.git\n"),
        ("gitdir", "../../../../tree/.git\n"),
        ("gitdir", ""),
    ],
)
def test_a_record_that_says_something_else_counts_as_none(name: str, text: str, main: Path, tmp_path: Path) -> None:
    (main / ".git/worktrees/tree" / name).write_text(text)
    with pytest.raises(OutsideError):
        outside(tmp_path / "tree")


@pytest.mark.parametrize("part", ["objects", "HEAD", "worktrees/tree/gitdir"])
def test_a_repository_of_links_is_none(part: str, main: Path, tmp_path: Path) -> None:
    path = main / ".git" / part
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    with pytest.raises(OutsideError):
        outside(tmp_path / "tree")


def test_a_repository_of_another_user_is_not_mounted(
    main: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstat = Path.lstat

    def as_others(path: Path) -> os.stat_result | SimpleNamespace:
        told = lstat(path)
        return SimpleNamespace(st_mode=told.st_mode, st_uid=told.st_uid + 1) if path == main / ".git" else told

    monkeypatch.setattr(Path, "lstat", as_others)
    with pytest.raises(OutsideError, match="another user"):
        outside(tmp_path / "tree")


def test_nothing_is_mounted_over_what_the_image_has(
    main: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (main, main / ".git/objects", tmp_path / "tree"):
        monkeypatch.setattr(worktree, "_IMAGES", (str(place),))
        with pytest.raises(OutsideError, match="needs that path itself"):
            outside(tmp_path / "tree")


def test_a_git_folder_that_is_a_link_out_is_said(main: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/.git").symlink_to(main / ".git")
    with pytest.raises(OutsideError, match="link that leads out"):
        outside(tmp_path / "plain")


def test_only_roots_own_repository_lies_in_roots_home() -> None:
    assert worktree._is_taken(Path("/root/main/.git"), 1000)
    assert not worktree._is_taken(Path("/root/main/.git"), 0)
    assert not worktree._is_taken(Path("/mnt/data/main/.git"), 1000)
    for place in ("/workspace/main/.git", "/opt", "/"):
        assert worktree._is_taken(Path(place), 0)
