from __future__ import annotations

from typing import Any

import pytest

from devenv.doors import process
from devenv.doors.docker import buildx
from devenv.errors import EngineError


def _buildx(monkeypatch: pytest.MonkeyPatch, answer: str | Exception) -> None:
    def fake(command: list[str], **_: Any) -> process.Outcome:
        if isinstance(answer, Exception):
            raise answer
        return process.Outcome(command=tuple(command), code=0, out=answer, err="")

    monkeypatch.setattr(process, "run", fake)


def test_buildx_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    _buildx(monkeypatch, "github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3\n")
    assert buildx.check_buildx() == "0.13"
    _buildx(monkeypatch, "github.com/docker/buildx v0.8.2 abc\n")
    with pytest.raises(EngineError, match=r"0\.8"):
        buildx.check_buildx()


def test_buildx_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = process.ProcessError(process.Outcome(command=("docker",), code=1, out="", err=""))
    _buildx(monkeypatch, failed)
    with pytest.raises(EngineError, match="no buildx plugin"):
        buildx.check_buildx()
    _buildx(monkeypatch, FileNotFoundError())
    with pytest.raises(EngineError, match="'docker' client"):
        buildx.check_buildx()


def test_paths_with_commas_and_quotes_stay_one_value() -> None:
    assert buildx.csv("type=tar", "dest=/a/b") == "type=tar,dest=/a/b"
    assert buildx.csv("type=tar", 'dest=/a,b "c"') == 'type=tar,"dest=/a,b ""c"""'
