"""The rules of gitignore(5), as far as a project's files need them."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.remote.sync import ignore


def _ignored(text: str, path: str, *, is_folder: bool = False, base: str = "", above: str = "") -> bool:
    return ignore.is_ignored(path, tuple(ignore.parse(text, base=base, above=above)), is_folder=is_folder)


@pytest.mark.parametrize(
    ("rules", "path", "ignored"),
    [
        ("*.log", "a.log", True), ("*.log", "sub/a.log", True), ("/*.log", "sub/a.log", False), ("/*.log", "a.log", True),
        ("build", "x/build", True), ("a/b", "a/b", True), ("a/b", "x/a/b", False), ("**/b", "x/y/b", True), ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True), ("a/**", "a/x/y", True), ("a/**", "a", False), ("a?c", "abc", True), ("a?c", "a/c", False),
        ("[a-c].txt", "b.txt", True), ("[!a-c].txt", "b.txt", False), ("[!a-c].txt", "d.txt", True), ("*", "x/y", True),
        ("*.log\n!keep.log", "keep.log", False), ("!keep.log\n*.log", "keep.log", True), ("#a", "#a", False), ("\\#a", "#a", True),
        ("\\!a", "!a", True), ("a\\*b", "a*b", True), ("a\\*b", "axb", False), ("trailing   ", "trailing", True), ("a.b", "axb", False),
        ("a*b*c", "axxbyyc", True), ("a*/c", "ab/c", True), ("a*/c", "a/b/c", False), ("", "a", False), ("/", "a", False),
        (".env", "sub/.env", True),
    ],
)  # fmt: skip
def test_patterns(rules: str, path: str, ignored: bool) -> None:
    assert _ignored(rules, path) is ignored


def test_a_pattern_for_folders_is_not_for_files() -> None:
    assert _ignored("data/", "data", is_folder=True)
    assert not _ignored("data/", "data")


def test_rules_of_a_folder_are_for_what_lies_in_it() -> None:
    assert _ignored("/x", "sub/x", base="sub")
    assert not _ignored("/x", "x", base="sub")
    assert not _ignored("x", "subtle/x", base="sub")


def test_rules_from_above_the_project_speak_of_longer_paths() -> None:
    assert _ignored("/project/x", "x", above="project/")
    assert not _ignored("/other/x", "x", above="project/")


@pytest.mark.parametrize("name", [".git", "sub/.git", ".GIT"])
def test_gits_own_data_is_always_left_out(name: str) -> None:
    assert _ignored("!.git", name)


def test_the_repository_around_a_project_has_its_say(tmp_path: Path) -> None:
    project = tmp_path / "top" / "project"
    (tmp_path / "top" / ".git" / "info").mkdir(parents=True)
    project.mkdir()
    (tmp_path / ".gitignore").write_text("outside")
    (tmp_path / "top" / ".gitignore").write_text("/project/secret\n*.key\n")
    (tmp_path / "top" / ".git" / "info" / "exclude").write_text("mine\n")
    rules = ignore.around(project)
    told = {
        name: ignore.is_ignored(name, rules, is_folder=False) for name in ("secret", "a.key", "mine", "outside", "a")
    }
    assert told == {"secret": True, "a.key": True, "mine": True, "outside": False, "a": False}
    assert ignore.around(tmp_path / "nowhere") == ()
