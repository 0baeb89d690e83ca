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
    told = brought(read(tmp_path), {}, "debian", "bookworm").git_config
    assert git_user(told) == {"name": 'Ann \\ "A" Lee', "email": "ann@x"}, "as git itself reads it back"
    assert "directory = /workspace" in told
    assert "worktreePruneExpire = never" in told
    assert not {"K", "store", "helper"} & set(told.split())


def test_the_file_that_git_is_told_counts_alone(tmp_path: Path) -> None:
    put(tmp_path, {"home/.gitconfig": "[user]\nname = Ann\nemail = ann@x\n", "mine": "[user]\nname = Me\n"})
    assert read(tmp_path, {"GIT_CONFIG_GLOBAL": str(tmp_path / "mine")}).git_user == {"name": "Me"}


def test_without_a_name_git_is_told_none(tmp_path: Path) -> None:
    assert "[user]" not in brought(read(tmp_path), {}, "debian", "bookworm").git_config


def _suites(tmp_path: Path, sources: str) -> list[str]:
    put(tmp_path, {"etc/apt/sources.list.d/all.sources": sources})
    text = brought(read(tmp_path), {}, "debian", "bookworm").apt_sources
    return [line.partition(": ")[2] for line in text.splitlines() if line.startswith(("URIs", "Suites"))]


def _sources(archive: str, *suites: str) -> str:
    return f"Types: deb\nURIs: http://a.example/{archive}\nSuites: {' '.join(suites)}\nComponents: main\n\n"


def test_apt_inside_gets_the_sources_of_its_own_release_alone(tmp_path: Path) -> None:
    mixed = _sources("debian", "bookworm", "bookworm-updates", "trixie") + _sources("debian", "sid")
    assert _suites(tmp_path, mixed) == ["http://a.example/debian", "bookworm bookworm-updates"]


def test_apt_inside_uses_the_mirrors_of_a_machine_that_runs_another_release(tmp_path: Path) -> None:
    other = _sources("debian", "trixie", "trixie-updates") + _sources("debian-security", "trixie-security")
    assert _suites(tmp_path, other) == [
        "http://a.example/debian", "bookworm bookworm-updates", "http://a.example/debian-security", "bookworm-security",
    ]  # fmt: skip
