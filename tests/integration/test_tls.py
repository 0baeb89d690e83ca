"""An engine that listens on TCP with TLS is reached by every door in the same way, or refused by name."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from devenv.build.build import buildx
from devenv.doors.docker.address import endpoint
from devenv.doors.docker.engine import connect
from devenv.doors.terminal.progress import Silent
from tests.integration.conftest import Cli
from tests.integration.tlsengine import Authority, Door

pytestmark = pytest.mark.engine
_IMAGE = "t-tls:1"
_WAITS = """\
echo first
for _ in $(seq 100); do [ ! -e /tmp/t-tls ] || break; sleep 0.1; done
[ -e /tmp/t-tls ] && echo answered || echo alone
rm -f /tmp/t-tls
"""


@pytest.fixture(scope="module")
def own() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def door(own: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(own.folder(tmp_path_factory.mktemp("tls") / "engine"))
    yield door
    door.close()


@pytest.fixture
def by_variables(own: Authority, door: Door, tmp_path: Path) -> Mapping[str, str]:
    """Also with what must not matter: a CA bundle and a proxy for other servers."""
    (tmp_path / "bundle.pem").write_bytes(Authority().ca)
    return {
        "DOCKER_HOST": door.address, "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(own.folder(tmp_path / "client")),
        "REQUESTS_CA_BUNDLE": str(tmp_path / "bundle.pem"), "HTTPS_PROXY": "http://127.0.0.1:9",
    }  # fmt: skip


@pytest.fixture
def by_context(own: Authority, door: Door, tmp_path: Path) -> Mapping[str, str]:
    contexts, key = tmp_path / "docker/contexts", hashlib.sha256(b"far").hexdigest()
    (contexts / "tls" / key).mkdir(parents=True)
    (contexts / "meta" / key).mkdir(parents=True)
    own.folder(contexts / "tls" / key / "docker")
    told = {"Name": "far", "Endpoints": {"docker": {"Host": door.address, "SkipTLSVerify": False}}}
    (contexts / "meta" / key / "meta.json").write_text(json.dumps(told))
    (tmp_path / "docker/config.json").write_text(json.dumps({"currentContext": "far"}))
    return {"DOCKER_CONFIG": str(tmp_path / "docker")}


@pytest.mark.parametrize("way", ["by_variables", "by_context"])
def test_every_door_goes_the_same_way(
    way: str, request: pytest.FixtureRequest, cli: Cli, up_python: Mapping[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    name, variables = up_python["name"], request.getfixturevalue(way)
    assert cli("status", name, "--json", env=variables).json()["state"] == "running"
    done = cli("exec", "-w", "/workspace", name, "--", "sh", "-c", "echo inside; exit 7", env=variables)
    assert (done.code, done.out) == (7, "inside\n"), done.err

    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    engine = connect(endpoint(variables, tmp_path))
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    try:
        buildx(["--load", "--tag", _IMAGE], tmp_path / "context", engine, Silent())
        assert engine.image_id(_IMAGE)
    finally:
        engine.remove_image(_IMAGE)

    lines = engine.follow(f"devenv-{name}", ["sh", "-c", _WAITS])
    assert next(lines) == "first"
    engine.exec(f"devenv-{name}", ["touch", "/tmp/t-tls"])
    assert list(lines) == ["answered"]


def test_what_is_wrong_is_said_once_and_by_its_name(own: Authority, door: Door, cli: Cli, tmp_path: Path) -> None:
    good = own.folder(tmp_path / "good")
    (tmp_path / "wrong-ca").mkdir()
    other = Authority().folder(tmp_path / "other")
    for name, source in {"ca.pem": other, "cert.pem": good, "key.pem": good}.items():
        shutil.copy(source / name, tmp_path / "wrong-ca" / name)
    shutil.copy(good / "ca.pem", other / "ca.pem")
    own.folder(tmp_path / "expired", days=-1)
    (own.folder(tmp_path / "no-key") / "key.pem").unlink()
    bare = own.folder(tmp_path / "bare")
    for name in ("cert.pem", "key.pem"):
        (bare / name).unlink()
    wanted = {
        "wrong-ca": "certificate of the Docker Engine at .* is from another CA",
        "other": "rejects the client certificate",
        "expired": "client certificate for the Docker Engine at .* has expired",
        "no-key": "no-key/key.pem: the client key for the Docker Engine does not exist",
        "bare": "requires a client certificate",
        "gone": "gone/ca.pem: the CA certificate for the Docker Engine does not exist",
    }
    tls = {"DOCKER_HOST": door.address, "DOCKER_TLS_VERIFY": "1"}
    for folder, words in wanted.items():
        done = cli("ps", env={**tls, "DOCKER_CERT_PATH": str(tmp_path / folder)})
        assert done.code == 6, folder
        assert re.search(words, done.err), done.err
        assert done.err.count("error:") == done.err.count("hint:") == 1
