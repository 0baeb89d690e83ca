"""This command line, for processes that devenv starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devenv.cli.program import program


def test_no_module_comes_from_the_folder_where_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/x/__main__.py", "up"])
    assert program() == (sys.executable, "-P", "-m", "devenv")


def test_the_users_own_command_is_named_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "devenv"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert program() == (str(script),)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "other" / "devenv")])
    assert program()[0] == sys.executable, "another devenv of that name is not meant"
