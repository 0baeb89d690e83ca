"""SSH clients reach an environment: OpenSSH's own ssh, scp, sftp and rsync, by what `devenv ssh-config` writes."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Cli, docker
from tests.waiting import until

pytestmark = pytest.mark.engine
BOX, HOST = "devenv-t-python", "devenv-t-python"
PROGRAM = "/usr/local/lib/devenv/ssh-server"


class Client:
    """OpenSSH's client, with the settings of a home of its own."""

    def __init__(self, cli: Cli, home: Path) -> None:
        self.cli, self.home, self.config = cli, home, home / ".ssh" / "config"

    def devenv(self, *arguments: str, status: int = 0) -> Any:
        done = self.cli("ssh-config", *arguments, env={"HOME": str(self.home)})
        assert done.code == status, done.err
        return done

    def command(self, *words: str) -> list[str]:
        return [words[0], "-F", str(self.config), *words[1:]]

    def run(self, *words: str, stdin: str | None = None, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words), input=stdin, capture_output=True, text=True, check=False, env=self.cli.env
        )
        assert done.returncode == status, done.stderr
        return done


@pytest.fixture(scope="module")
def client(cli: Cli, up_python: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    assert up_python["name"] == "t-python"
    one = Client(cli, tmp_path_factory.mktemp("home"))
    told = json.loads(one.devenv("--install", "--json").out)
    assert told["installed"]
    assert {"name": "t-python", "host": HOST, "vscode": f"vscode-remote://ssh-remote+{HOST}/workspace"} in told["hosts"]
    yield one
    docker("exec", BOX, "sh", "-c", "rm -rf /home/dev/sent /home/dev/docs; pkill -x http; true")


def _servers() -> int:
    return docker("exec", BOX, "ps", "-eo", "args").count("sshd:")


def test_a_command_gets_the_environment_and_its_status_and_output_come_back(client: Client) -> None:
    script = "import os, sys; print(sys.prefix, os.getcwd()); print(os.umask(0o22), file=sys.stderr); sys.exit(7)"
    done = client.run("ssh", HOST, shlex.join(["python", "-c", script]), status=7)
    assert (done.stdout, done.stderr) == ("/opt/venv /home/dev\n", "18\n")
    inside = docker("exec", "-u", "dev", BOX, "devenv-exec", "env").splitlines()
    there = client.run("ssh", HOST, "env").stdout.splitlines()
    own = ("HOME=", "SHLVL=", "_=", "PWD=", "OLDPWD=")
    assert {line for line in inside if not line.startswith(own)} <= set(there)


def test_files_go_both_ways(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(os.urandom(3 << 20))
    client.run("scp", "-q", str(tmp_path / "a b"), f"{HOST}:sent")
    client.run("sftp", "-q", "-b", "-", HOST, stdin=f"get sent {tmp_path}/back\nls -l sent\n")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "a b").read_bytes()
    shell = shlex.join(client.command("ssh"))
    docs = Path(__file__).parents[2] / "docs" / "decisions"
    subprocess.run(["rsync", "-a", "-e", shell, f"{docs}/", f"{HOST}:docs/"], check=True, env=client.cli.env)
    assert client.run("ssh", HOST, "ls docs | wc -l").stdout.strip() == str(len(list(docs.iterdir())))


def _page(path: Path) -> bytes:
    """What a web server behind a socket answers; nothing before it listens."""
    with socket.socket(socket.AF_UNIX) as link, contextlib.suppress(OSError):
        link.connect(str(path))
        link.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: link.recv(1 << 16), b""))
    return b""


def test_a_terminal_and_forwarded_ports(client: Client, tmp_path: Path) -> None:
    shown = client.run("ssh", "-tt", HOST, "tty; python -c 'print(6 * 7)'").stdout
    assert shown.startswith("/dev/pts/")
    assert "42" in shown
    socket_ = tmp_path / "page"
    with subprocess.Popen(
        client.command("ssh", "-N", "-L", f"{socket_}:127.0.0.1:8899", HOST), env=client.cli.env
    ) as one:
        try:
            until(socket_.exists)
            serve = "exec -a http python -m http.server 8899 --bind 127.0.0.1 -d /etc/devenv > /dev/null 2>&1 &"
            client.run("ssh", HOST, f"bash -c {shlex.quote(serve)}")
            until(lambda: b"preset.yaml" in _page(socket_))
        finally:
            one.terminate()


def test_a_killed_client_leaves_no_server(client: Client) -> None:
    before = _servers()
    with subprocess.Popen(client.command("ssh", HOST, "sleep 300"), env=client.cli.env) as one:
        until(lambda: _servers() > before)
        one.kill()
    until(lambda: _servers() == before)
    # What has no terminal goes on, as with any SSH server: VS Code's server lives by that.
    client.run("ssh", HOST, "pkill -x sleep; true")


def test_only_the_key_that_was_chosen_logs_in(client: Client, tmp_path: Path) -> None:
    for name in ("mine", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / name)], check=True)
    other = ("-o", f"IdentityFile={tmp_path}/other", "-i", f"{tmp_path}/other")
    refused = subprocess.run(
        ["ssh", *other, "-F", str(_without_identity(client, tmp_path)), HOST, "id"], capture_output=True, text=True,
        check=False, env=client.cli.env,
    )  # fmt: skip
    assert (refused.returncode, "Permission denied (publickey)" in refused.stderr) == (255, True)
    client.devenv("--key", str(tmp_path / "mine"))
    assert f'IdentityFile "{tmp_path}/mine"' in client.devenv("t-python").out
    assert client.run("ssh", HOST, "whoami").stdout == "dev\n"
    client.devenv("--new-key")
    assert client.run("ssh", HOST, "whoami").stdout == "dev\n"


def _without_identity(client: Client, folder: Path) -> Path:
    """The client's settings, but for the key."""
    include = client.config.read_text().splitlines()[1].removeprefix('Include "').removesuffix('*.conf"')
    text = "".join(path.read_text() for path in sorted(Path(include).iterdir()))
    path = folder / "settings"
    path.write_text("".join(line for line in text.splitlines(keepends=True) if "IdentityFile" not in line))
    return path


def test_mistakes_are_one_error_each(client: Client, tmp_path: Path) -> None:
    (tmp_path / "old.pub").write_text("ssh-dss AAAA me\n")
    said = client.devenv("--key", str(tmp_path / "old.pub"), status=2).err
    assert "it is a DSA key, which OpenSSH no longer takes" in said
    assert "unknown environment 't-nothing'" in client.devenv("t-nothing", status=2).err
    gone = client.config.parent / "gone"
    gone.write_text(client.devenv("t-python").out.replace("ssh-proxy t-python", "ssh-proxy t-gone"))
    done = subprocess.run(
        ["ssh", "-F", str(gone), HOST, "id"], capture_output=True, text=True, check=False, env=client.cli.env
    )
    assert done.returncode == 255
    assert "unknown environment 't-gone'" in done.stderr


def test_no_port_is_opened_and_no_key_is_in_the_image(client: Client) -> None:
    assert "22/tcp" not in docker("inspect", BOX, "--format", "{{json .NetworkSettings.Ports}}")
    image = docker("inspect", BOX, "--format", "{{.Image}}").strip()
    found = docker("run", "--rm", "--entrypoint", "find", image, "/etc/ssh", "/root", "/home", "-name", "*_key*")
    assert found == ""
    inside = docker("exec", BOX, "stat", "-c", "%a %U", "/run/devenv/ssh", "/run/devenv/ssh/host_key").split("\n")
    assert inside[:2] == ["700 dev", "600 dev"]


def test_where_the_user_inside_is_root(client: Client, tmp_path: Path) -> None:
    """On a machine where root owns the project."""
    image = docker("inspect", BOX, "--format", "{{.Image}}").strip()
    box = docker("run", "-d", "--rm", "--network", "none", "--tmpfs", "/run/devenv:mode=755", "-e", "DEVENV_UID=0",
                 "-e", "DEVENV_GID=0", "--label", "t-ssh=1", image, "sleep", "100").strip()  # fmt: skip
    try:
        key = next(line for line in client.devenv("t-python").out.splitlines() if "IdentityFile" in line).split('"')[1]
        proxy = shlex.join(["docker", "exec", "-i", "-u", "dev", "-e", "DEVENV_SSH_KEY", box, "devenv-exec", PROGRAM])
        done = subprocess.run(
            ["ssh", "-F", "none", "-o", f"ProxyCommand={proxy}", "-i", key, "-o", "StrictHostKeyChecking=no", "-o",
             f"UserKnownHostsFile={tmp_path}/known", "dev@box", "id -u; umask"],
            capture_output=True, text=True, check=False,
            env={**client.cli.env, "DEVENV_SSH_KEY": Path(f"{key}.pub").read_text().strip()},
        )  # fmt: skip
        assert done.stdout == "0\n0022\n", done.stderr
    finally:
        docker("rm", "-f", box)


def test_removed_again(client: Client) -> None:
    client.devenv("--remove")
    assert client.config.read_text() == ""
    client.devenv("--install")
