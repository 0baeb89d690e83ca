"""A patch written beside a preset."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.drift import write_patch
from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import Scanner


def test_a_patch_copies_no_secret_out_of_a_folder() -> None:
    """A folder is copied as a whole, so its files are judged one by one, by their path too."""
    contents = {"/srv/app/main.py": (b"x = 1\n", 0o644), "/srv/app/.env": (b"MODE=1\n", 0o600)}
    assert [one.name for one in write_patch._secrets(contents, Scanner(KnownValues()))] == ["/srv/app/.env"]


def test_a_link_in_the_place_of_a_copied_program_gets_no_rights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The project is mounted in the container, so a program there can put a link in the copy's place at any moment."""
    (tmp_path / "project").mkdir()
    (tmp_path / "private").write_text("x")
    (tmp_path / "private").chmod(0o600)
    real = os.replace

    def swapped(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        if target == "tool":
            modes.append(os.stat(target, dir_fd=dst_dir_fd).st_mode & 0o777)
            os.unlink(target, dir_fd=dst_dir_fd)
            os.symlink(tmp_path / "private", target, dir_fd=dst_dir_fd)

    modes: list[int] = []
    monkeypatch.setattr(os, "replace", swapped)
    write_patch._write(tmp_path / "project" / "devenv.yaml", "x: 1\n", {"files/tool": (b"#!", 0o755)})
    assert modes == [0o755]
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600
