from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from devenv.dockerhost import engine_address
from devenv.errors import EngineError


def _context(home: Path, name: str, host: str) -> None:
    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))


def test_docker_host_wins(tmp_path: Path) -> None:
    assert engine_address({"DOCKER_HOST": "tcp://h:1", "DOCKER_CONTEXT": "x"}, tmp_path) == "tcp://h:1"


def test_the_current_context_is_used(tmp_path: Path) -> None:
    _context(tmp_path, "far", "ssh://far")
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "far"}')
    assert engine_address({}, tmp_path) == "ssh://far"


def test_a_missing_context_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="far"):
        engine_address({"DOCKER_CONTEXT": "far"}, tmp_path)


def test_the_default_context_means_the_usual_socket(tmp_path: Path) -> None:
    assert engine_address({"DOCKER_CONTEXT": "default"}, tmp_path).startswith("unix://")
