"""The image alone, started with plain docker: the promises of its entrypoint and gateway."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import docker
from tests.waiting import until

pytestmark = pytest.mark.engine
TOKEN = "tEst-token_0123456789abcdefghijklmnopqrstuvw"
HOSTILE = 'it\'s "quoted" $HOME `id` $(id) \\ a=b ; & |'

Box = Callable[..., str]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """What devenv mounts at /run/devenv-host."""
    folder = tmp_path / "host"
    folder.mkdir(mode=0o700)
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "token").chmod(0o600)
    return folder


@pytest.fixture
def box(up_python: Mapping[str, Any]) -> Iterator[Box]:
    """Start the image with further `docker run` arguments; returns the container's name, gone after the test."""
    made: list[str] = []

    def start(*arguments: str, wait: bool = True) -> str:
        name = f"t-image-{uuid.uuid4().hex[:8]}"
        made.append(name)
        docker("run", "-d", "--init", "--name", name, *arguments, up_python["image"]["id"])
        if wait:
            docker("exec", name, "devenv-exec", "true")
        return name

    yield start
    for name in made:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)


def _inside(name: str, *command: str) -> str:
    return docker("exec", name, "devenv-exec", *command)


def _ask(
    port: int, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
) -> http.client.HTTPResponse:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as link:
        link.request(method, path, headers=dict(headers or {}))
        answer = link.getresponse()
        if answer.status != 101:
            answer.read()
        return answer


def _gateway(name: str) -> int:
    """The published port of the gateway, once it answers."""
    port = int(docker("port", name, "8443").strip().rpartition(":")[2])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            _ask(port, "/")
        except OSError:
            time.sleep(0.05)
        else:
            return port
    raise AssertionError("the gateway did not answer")


@pytest.fixture
def gateway(box: Box, host: Path) -> int:
    return _gateway(box("-v", f"{host}:/run/devenv-host:ro", "-e", "DEVENV_NAME=my-env", "-p", "127.0.0.1::8443"))


def _name(environment: str, service: str) -> str:
    """The gateway's cookie is named for environment and service."""
    return f"devenv_{hashlib.sha256(f'{environment}/{service}'.encode()).hexdigest()[:16]}"


def _value(port: int) -> str:
    """That of the cookie, which a request with the token gets."""
    given = str(_ask(port, f"/?token={TOKEN}").headers["Set-Cookie"])
    assert given.startswith(f"{COOKIE}=")
    return given.partition(";")[0].partition("=")[2]


COOKIE = _name("my-env", "ide")


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        (f"/?token={TOKEN}", "/"),
        (f"/a/b?token={TOKEN}", "/a/b"),
        (f"/a?token={TOKEN}&b=1", "/a?b=1"),
        (f"/a?b=1&token={TOKEN}", "/a?b=1"),
        (f"/a?b=1&token={TOKEN}&c=2", "/a?b=1&c=2"),
        (f"//other.example/a?token={TOKEN}", "/other.example/a"),
        (f"/\\other.example/a?token={TOKEN}", "/other.example/a"),
        (f"/\\/other.example/a?b=1&token={TOKEN}", "/other.example/a?b=1"),
        (f"/%0d%0aSet-Cookie:x?token={TOKEN}", "/%0d%0aSet-Cookie:x"),
    ],
)
def test_a_token_in_the_address_becomes_a_cookie(gateway: int, path: str, clean: str) -> None:
    answer = _ask(gateway, path)
    assert answer.status == 302
    assert answer.headers["Location"] == clean
    cookies = answer.headers.get_all("Set-Cookie")
    assert len(cookies) == 1
    assert re.fullmatch(f"{COOKIE}=[0-9a-f]{{64}}; Path=/; HttpOnly; SameSite=Lax", cookies[0])
    assert TOKEN not in cookies[0], "browsers send a cookie to every port of a host: it is not the token"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/?token=", {}),
        (f"/?token={TOKEN[:-1]}", {}),
        (f"/?token={TOKEN}x", {}),
        (f"/?token={TOKEN.upper()}", {}),
        (f"/?nottoken={TOKEN}", {}),
        ("/", {"Cookie": f"{COOKIE}=VALUEx"}),
        ("/", {"Cookie": f"{COOKIE}={TOKEN}"}),
        ("/", {"Cookie": f"{_name('my-env', 'other')}=VALUE"}),
        ("/", {"Cookie": f"{_name('other', 'ide')}=VALUE"}),
        ("/", {"Authorization": f"Bearer {TOKEN}x"}),
        ("/", {"Authorization": f"Basic {TOKEN}"}),
        ("/", {"X-Forwarded-For": "127.0.0.1", "Upgrade": "websocket", "Connection": "Upgrade"}),
    ],
)
def test_anything_else_is_turned_away(gateway: int, path: str, headers: Mapping[str, str]) -> None:
    answer = _ask(gateway, path, {name: text.replace("VALUE", _value(gateway)) for name, text in headers.items()})
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [{"Cookie": f"a=b; {COOKIE}=VALUE"}, {"Authorization": f"Bearer {TOKEN}"}],
    ids=["cookie", "header"],
)
def test_cookie_or_header_let_a_request_pass(gateway: int, headers: Mapping[str, str]) -> None:
    told: list[object] = []
    headers = {name: text.replace("VALUE", _value(gateway)) for name, text in headers.items()}

    def passes() -> bool:
        try:
            told.append(_ask(gateway, "/?folder=/workspace", headers).status)
        except (OSError, http.client.HTTPException) as error:  # the editor is starting behind the gateway
            told.append(error)
        assert told[-1] not in (401, 403), told
        return told[-1] == 200

    until(passes)


def test_jupyter_behind_the_gateway_keeps_foreign_pages_out(box: Box, host: Path) -> None:
    """Browsers send the cookie for pages of any port of this machine, too; clients send the token as a header."""
    mistakes = f"default https://x *. {'a' * 300}"  # nginx would not start with one of these
    hosts = (
        "-e",
        f"DEVENV_HOSTS=Dev.Example.org,*.lan {mistakes}",
        "-e",
        "DEVENV_PEERS=999.1.1.1/99 1/2/3,10.9.0.0/16",
    )
    name = box("-v", f"{host}:/run/devenv-host:ro", "-e", "DEVENV_NAME=my-env", *hosts, "-p", "127.0.0.1::8888")
    port = int(docker("port", name, "8888").strip().rpartition(":")[2])
    bearer = {"Authorization": f"token {TOKEN}"}

    def answers() -> bool:
        try:
            return _ask(port, "/api/status", bearer).status == 200
        except OSError:
            return False

    until(answers)
    given = str(_ask(port, f"/lab?token={TOKEN}").headers["Set-Cookie"]).partition(";")[0]
    assert _ask(port, "/lab", {"Cookie": given}).status == 200
    assert _ask(port, "/api/status").status == 401
    assert (
        _ask(port, "/lab", {"Cookie": given, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}).status == 401
    )
    assert (
        _ask(port, "/lab", {"Cookie": given, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}).status == 200
    )
    assert _ask(port, "/lab", {"Cookie": given, "Origin": "http://127.0.0.1:1"}).status == 401
    assert _ask(port, "/lab", {"Cookie": given, "Origin": f"http://127.0.0.1:{port}"}).status == 200
    for known in ("localhost:9000", "my-env.localhost", "[::1]:9000", "dev.example.org", "a.lan:443"):
        assert _ask(port, "/lab", {"Cookie": given, "Host": known}).status == 200, known
    for unknown in ("evil.example", "x.dev.example.org", "lan", "localhost.evil.example"):
        assert _ask(port, f"/lab?token={TOKEN}", {"Host": unknown}).status == 421, unknown
    assert _ask(port, "/api/kernels", {"Cookie": given}, method="POST").status == 403
    assert _ask(port, "/api/kernels", bearer, method="POST").status == 201
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw=="}  # fmt: skip
    assert _ask(port, f"/api/events/subscribe?token={TOKEN}", upgrade).status == 101
    assert _ask(port, "/api/events/subscribe?token=wrong", upgrade).status == 401


def test_a_session_lives_over_a_restart_of_the_container(box: Box, host: Path) -> None:
    """As long as the host's secret beside the token does; without one it ends with the boot."""
    (host / "session").write_text("first\n")
    name = box("-v", f"{host}:/run/devenv-host:ro", "-e", "DEVENV_NAME=my-env", "-p", "127.0.0.1::8443")
    value = _value(_gateway(name))
    docker("restart", "-t", "3", name)
    port = _gateway(name)
    assert _ask(port, "/", {"Cookie": f"{COOKIE}={value}"}).status in (200, 302, 502)
    assert _value(port) == value
    (host / "session").unlink()
    docker("restart", "-t", "3", name)
    assert _ask(_gateway(name), "/", {"Cookie": f"{COOKIE}={value}"}).status == 401


@pytest.mark.parametrize(("peers", "status"), [("", 403), ("any", 401)])
def test_neighbours_on_the_engines_network_are_turned_away(box: Box, host: Path, peers: str, status: int) -> None:
    """Also with a token: they may have stolen it, or a cookie."""
    mine = ("-v", f"{host}:/run/devenv-host:ro", "-e", "DEVENV_NAME=my-env", "-e", f"DEVENV_PEERS={peers}")
    name = box(*mine, "-p", "127.0.0.1::8443")
    assert _ask(_gateway(name), "/").status == 401
    address = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name).strip()
    ask = f"import http.client as h; c = h.HTTPConnection('{address}', 8443); c.request('GET', PATH); print(c.getresponse().status)"
    neighbour = box("-e", "DEVENV_NAME=other")
    assert _inside(neighbour, "python", "-c", ask.replace("PATH", "'/'")).strip() == str(status)
    if status == 403:
        assert _inside(neighbour, "python", "-c", ask.replace("PATH", f"'/?token={TOKEN}'")).strip() == "403"


def test_variables_of_the_host_arrive_as_they_are(box: Box, host: Path) -> None:
    (host / "env").write_text(f"HTTPS_PROXY={HOSTILE}\nnot a line\n1BAD=x\nEMPTY=\nLAST=no newline at the end")
    name = box("-v", f"{host}:/run/devenv-host:ro")
    for shell in (("devenv-exec", "printenv"), ("devenv-exec", "bash", "-lc", "printenv HTTPS_PROXY"), None):
        if shell is None:
            pid = docker("exec", name, "pgrep", "-ox", "runsvdir").strip()
            text = docker("exec", "-u", "dev", name, "cat", f"/proc/{pid}/environ").replace("\0", "\n")
        else:
            text = docker("exec", name, *shell)
        assert HOSTILE in text
    assert "LAST=no newline at the end" in _inside(name, "printenv")
    assert "1BAD" not in _inside(name, "printenv")
    assert "HTTPS_PROXY" not in docker("inspect", name)
    modes = docker("exec", name, "stat", "-c", "%a %U", "/run/devenv/env.sh", "/run/devenv/token")
    assert modes.split("\n")[:2] == ["600 dev", "600 dev"]


def test_a_private_ca_is_trusted_beside_the_public_ones(box: Box, host: Path) -> None:
    system = docker("run", "--rm", "--entrypoint", "cat", _image(box, host), "/etc/ssl/certs/ca-certificates.crt")
    (host / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\nprivate\n-----END CERTIFICATE-----\n")
    name = box("-v", f"{host}:/run/devenv-host:ro")
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"):
        path = _inside(name, "printenv", variable).strip()
        bundle = _inside(name, "cat", path)
        assert bundle.startswith(system[:200])
        assert "private" in bundle


def _image(box: Box, host: Path) -> str:
    return docker("inspect", "-f", "{{.Image}}", box("-v", f"{host}:/run/devenv-host:ro")).strip()


@pytest.mark.parametrize(("uid", "gid"), [(1234, 1235), (33, 20), (501, 20), (0, 0)])
def test_the_user_gets_the_hosts_numbers(box: Box, host: Path, tmp_path: Path, uid: int, gid: int) -> None:
    """33 (www-data) and 20 (dialout) are numbers that the image already has. Root inside is for root's own projects."""
    bind = tmp_path / "project"
    bind.mkdir()
    (bind / "mine.txt").write_text("x")
    before = (bind.stat().st_uid, (bind / "mine.txt").stat().st_uid)
    name = box(
        "-e", f"DEVENV_UID={uid}", "-e", f"DEVENV_GID={gid}", "-e", "DEVENV_NAME=env", "-v", "/mnt/env",
        "-v", f"{bind}:/project", "-v", f"{host}:/run/devenv-host:ro",
    )  # fmt: skip
    assert _inside(name, "sh", "-c", "id -u; id -g; id -un; sudo -n id -u").split() == [str(uid), str(gid), "dev", "0"]
    _inside(name, "sh", "-c", "touch /mnt/env/x ~/x /workspace/x /opt/venv/lib/python3.11/site-packages/x")
    owners = docker("exec", name, "stat", "-c", "%u", "/home/dev/.bashrc", "/mnt/env", "/workspace").split()
    assert set(owners) == {str(uid)}
    assert (bind.stat().st_uid, (bind / "mine.txt").stat().st_uid) == before, "a folder of the host is never touched"
    docker("restart", "-t", "5", name)
    assert _inside(name, "id", "-u").strip() == str(uid)


@pytest.mark.parametrize(
    "arguments",
    [("-e", "DEVENV_UID=0"), ("-e", "DEVENV_GID=0"), ("-e", "DEVENV_UID=x;id"), ("-u", "1234"),
     ("-e", 'DEVENV_BASE_PATH=/"; } evil {')],
)  # fmt: skip
def test_root_is_refused_and_so_is_nonsense(up_python: Mapping[str, Any], arguments: tuple[str, ...]) -> None:
    command = ["docker", "run", "--rm", *arguments, up_python["image"]["id"], "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert "devenv: " in done.stderr


def test_a_token_that_could_be_configuration_is_refused(up_python: Mapping[str, Any], host: Path) -> None:
    (host / "token").write_text('x"; } evil {\n')
    command = ["docker", "run", "--rm", "-v", f"{host}:/run/devenv-host:ro", up_python["image"]["id"], "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert "evil" not in done.stderr


def test_started_by_hand_it_makes_a_token_of_its_own(box: Box) -> None:
    name = box("-p", "127.0.0.1::8443")
    token = docker("exec", name, "cat", "/run/devenv/token").strip()
    assert len(token) == 48
    logs = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=True)
    assert "/run/devenv/token" in logs.stderr
    assert token not in logs.stderr + logs.stdout
    port = _gateway(name)
    assert _ask(port, f"/?token={token}").status == 302
    assert _ask(port, f"/?token={TOKEN}").status == 401


def test_a_command_runs_as_the_user_without_services(up_python: Mapping[str, Any]) -> None:
    out = docker(
        "run", "--rm", up_python["image"]["id"], "sh", "-c", "id -un; command -v python; pgrep -c runsv || true"
    )
    assert out.split() == ["dev", "/opt/venv/bin/python", "0"]


def test_a_dead_service_is_recorded_told_and_restarted(box: Box, host: Path) -> None:
    name = box("-v", f"{host}:/run/devenv-host:ro")

    def master() -> str:
        return docker("exec", name, "sh", "-c", "pgrep -ox nginx || true").strip()

    def log() -> str:
        return subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=True).stderr

    until(lambda: docker("exec", name, "sh", "-c", "pgrep -cx nginx || true").strip() == "2")
    first = master()
    docker("exec", name, "kill", "-9", first)
    until(lambda: "devenv: service gateway ended: status -1 signal 9 count 1" in log())
    assert docker("exec", name, "cat", "/run/devenv/exit/gateway") == "-1 9 1\n"
    until(lambda: master() not in ("", first))


def test_stop_does_not_wait_for_a_service_that_hangs(box: Box, host: Path) -> None:
    name = box("-v", f"{host}:/run/devenv-host:ro")
    script = r"""mkdir /run/devenv/sv/.stuck && cd /run/devenv/sv
        printf '#!/bin/sh\ntrap "" TERM\nwhile :; do sleep 1; done\n' > .stuck/run
        chmod +x .stuck/run && mv .stuck stuck"""
    _inside(name, "sh", "-c", script)
    until(lambda: "run: " in docker("exec", name, "sh", "-c", "sv status /run/devenv/sv/stuck || true"))
    docker("stop", "-t", "60", name)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", name).strip() == "0"


def test_the_supervisors_death_ends_the_container(box: Box, host: Path) -> None:
    name = box("-v", f"{host}:/run/devenv-host:ro")
    docker("exec", name, "pkill", "-KILL", "runsvdir")
    assert docker("wait", name).strip() == "70"


def test_memory_that_may_not_hold_programs_is_enough(box: Box, host: Path) -> None:
    name = box("-v", f"{host}:/run/devenv-host:ro", "--tmpfs", "/run/devenv:rw,noexec,nosuid,nodev,mode=0755")
    until(lambda: docker("exec", name, "sh", "-c", "sv status /run/devenv/sv/* || true").count("run: /run") == 3)
