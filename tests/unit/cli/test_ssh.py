"""The command line of hosts for SSH clients. What it writes is in tests/unit/container/test_ssh.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.cli import run


@pytest.mark.parametrize("odd", ['a"b', "[x]", "a\\b"])
@pytest.mark.parametrize("options", [(), ("--install",), ("--new-key",)])
def test_an_odd_state_folder_is_refused_before_anything_is_written(
    odd: str, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / odd))
    assert run(["ssh-config", *options]) == 2
    told = capsys.readouterr()
    assert "error: ssh's configuration cannot hold" in told.err
    assert "set XDG_STATE_HOME to a folder" in told.err
    assert list(tmp_path.iterdir()) == []
