from __future__ import annotations

from typing import Any

import docker
import docker.errors
import pytest

from devenv import engine
from devenv.errors import EngineError


class _Client:
    def __init__(self, version: str) -> None:
        self.api = self
        self._version = version

    def version(self) -> dict[str, str]:
        return {"Version": self._version}


def _clients(monkeypatch: pytest.MonkeyPatch, version: str | Exception) -> None:
    def make(**_: Any) -> _Client:
        if isinstance(version, Exception):
            raise version
        return _Client(version)

    monkeypatch.setattr(docker, "DockerClient", make)


@pytest.mark.parametrize("version", ["23.0.0", "26.1.5+dfsg1", "28.2.2", "29.0.0-rc.1"])
def test_new_engines_are_taken(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _clients(monkeypatch, version)
    assert engine.connect("unix:///x").version == version


@pytest.mark.parametrize("version", ["20.10.24+dfsg1", "19.03.0"])
def test_old_engines_are_refused_with_the_remedy(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _clients(monkeypatch, version)
    with pytest.raises(EngineError, match=r"is (20|19)\.") as told:
        engine.connect(None)
    assert told.value.exit_code == 6
    assert told.value.hint


@pytest.mark.parametrize(
    ("error", "message", "remedy"),
    [
        (
            docker.errors.DockerException("Error while fetching: PermissionError(13, 'Permission denied')"),
            "may not use",
            "usermod",
        ),
        (
            docker.errors.DockerException("Error while fetching: FileNotFoundError(2)"),
            "no Docker Engine answers",
            "start it",
        ),
    ],
)
def test_no_engine_and_no_permission_are_told_apart(
    error: Exception, message: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clients(monkeypatch, error)
    with pytest.raises(EngineError, match=message) as told:
        engine.connect(None)
    assert remedy in (told.value.hint or "")
