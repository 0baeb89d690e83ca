from __future__ import annotations

import hashlib
import json
import ssl
from pathlib import Path

import pytest

from devenv.doors.docker.address import Endpoint, Tls, endpoint, proxies
from devenv.errors import EngineError


def _context(home: Path, name: str, host: str, **more: object) -> Path:
    """Make a docker context; the folder that its certificates would have."""
    contexts, key = home / ".docker" / "contexts", hashlib.sha256(name.encode()).hexdigest()
    folder = contexts / "meta" / key
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host, **more}}}))
    return contexts / "tls" / key / "docker"


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


@pytest.mark.parametrize(("variable", "verify"), [("DOCKER_TLS_VERIFY", True), ("DOCKER_TLS", False)])
def test_tls_is_as_the_variables_say(variable: str, verify: bool, tmp_path: Path) -> None:
    tcp = {"DOCKER_HOST": "tcp://127.0.0.1:2376", variable: "1"}
    own = Tls(folder=tmp_path / ".docker", verify=verify)
    assert endpoint(tcp, tmp_path) == Endpoint(address="tcp://127.0.0.1:2376", tls=own)
    named = endpoint({**tcp, "DOCKER_CERT_PATH": "/certs"}, tmp_path)
    assert named.tls == Tls(folder=Path("/certs"), verify=verify)
    assert endpoint({variable: "1"}, tmp_path).address == "tcp://localhost:2376"
    assert endpoint({**tcp, "DOCKER_HOST": "unix:///x.sock"}, tmp_path) == Endpoint(address="unix:///x.sock")
    assert endpoint({**tcp, variable: ""}, tmp_path).tls is None


def test_a_contexts_tls_is_its_own(tmp_path: Path) -> None:
    folder = _context(tmp_path, "far", "tcp://127.0.0.1:1")
    chosen = {"DOCKER_CONTEXT": "far", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/other"}
    assert endpoint(chosen, tmp_path).tls is None
    folder.mkdir(parents=True)
    assert endpoint(chosen, tmp_path).tls == Tls(folder=folder)
    unchecked = _context(tmp_path, "lax", "tcp://127.0.0.1:1", SkipTLSVerify=True)
    assert endpoint({"DOCKER_CONTEXT": "lax"}, tmp_path).tls == Tls(folder=unchecked, verify=False)


def test_a_docker_client_is_led_to_the_same_engine_and_to_no_other() -> None:
    plain = Endpoint(address="unix:///x.sock").variables()
    assert plain.pop("DOCKER_HOST") == "unix:///x.sock"
    assert plain == dict.fromkeys(("DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"))
    checked = Endpoint(address="tcp://h:1", tls=Tls(folder=Path("/c"))).variables()
    assert (checked["DOCKER_TLS_VERIFY"], checked["DOCKER_TLS"], checked["DOCKER_CERT_PATH"]) == ("1", None, "/c")
    unchecked = Endpoint(address="tcp://h:1", tls=Tls(folder=Path("/c"), verify=False)).variables()
    assert (unchecked["DOCKER_TLS_VERIFY"], unchecked["DOCKER_TLS"]) == (None, "1")


def test_tls_files_that_cannot_be_used_are_said_by_name(tmp_path: Path) -> None:
    def why(*, verify: bool = True) -> str:
        with pytest.raises(EngineError) as told:
            Tls(folder=tmp_path, verify=verify).context()
        assert "DOCKER_CERT_PATH" in (told.value.hint or "")
        return f"{Path(told.value.where or '').name}: {told.value.message}"

    assert why() == "ca.pem: the CA certificate for the Docker Engine does not exist"
    (tmp_path / "ca.pem").write_text("no certificate")
    assert why().startswith("ca.pem: the TLS files for the Docker Engine cannot be used: ")
    (tmp_path / "key.pem").write_text("no key")
    assert why(verify=False) == "cert.pem: the client certificate for the Docker Engine does not exist"
    (tmp_path / "cert.pem").write_text("no certificate")
    assert why(verify=False).startswith("cert.pem: the TLS files for the Docker Engine cannot be used: ")
    (tmp_path / "key.pem").unlink()
    assert why(verify=False) == "key.pem: the client key for the Docker Engine does not exist"
    (tmp_path / "cert.pem").unlink()
    assert Tls(folder=tmp_path, verify=False).context().verify_mode == ssl.CERT_NONE


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
