from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from devenv.dockerhost import endpoint, proxies
from devenv.errors import EngineError


def _context(home: Path, name: str, host: str) -> None:
    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))


def test_docker_host_wins(tmp_path: Path) -> None:
    assert endpoint({"DOCKER_HOST": "tcp://h:1", "DOCKER_CONTEXT": "x"}, tmp_path).address == "tcp://h:1"


def test_the_current_context_is_used(tmp_path: Path) -> None:
    _context(tmp_path, "far", "ssh://far")
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "far"}')
    assert endpoint({}, tmp_path).address == "ssh://far"


def test_a_missing_context_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="far"):
        endpoint({"DOCKER_CONTEXT": "far"}, tmp_path)


def test_the_default_context_means_the_usual_socket(tmp_path: Path) -> None:
    assert endpoint({"DOCKER_CONTEXT": "default"}, tmp_path).address.startswith("unix://")


def _proxies(home: Path, variables: dict[str, str], value: object) -> dict[str, str]:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker" / "config.json").write_text(json.dumps({"proxies": value}))
    return proxies(variables, home)


def test_proxies_of_dockers_settings_are_the_engines_own_else_the_default(tmp_path: Path) -> None:
    named = {"default": {"httpProxy": "http://u:pw@p:1"}, "tcp://h:1": {"httpsProxy": "http://q:2", "noProxy": "x"}}
    assert _proxies(tmp_path, {}, named) == {"HTTP_PROXY": "http://u:pw@p:1", "http_proxy": "http://u:pw@p:1"}
    found = _proxies(tmp_path, {"DOCKER_HOST": "tcp://h:1"}, named)
    assert found == {"HTTPS_PROXY": "http://q:2", "https_proxy": "http://q:2", "NO_PROXY": "x", "no_proxy": "x"}


@pytest.mark.parametrize("value", [None, [], "x", {"default": "x"}, {"default": {"other": "x"}}])
def test_proxies_of_another_shape_are_none(tmp_path: Path, value: object) -> None:
    assert _proxies(tmp_path, {"DOCKER_CONTEXT": "gone"}, value) == {}
