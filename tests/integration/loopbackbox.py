"""A box: another user of this machine, with a home of its own, behind an sshd on loopback that a test runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.waiting import until

USER = "t-devenv-box"
HOST = "t-box"
HOME = Path("/home") / USER


class Box:
    """`path` is the PATH with a client that knows the box by the name `t-box`, `folder` what belongs to it here."""

    def __init__(self, folder: Path, *, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = _free_port()
        self.config = folder / "config"
        self.log = folder / "log"
        self._server: subprocess.Popen[bytes] | None = None
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        _own_folder(HOME / ".ssh")
        keys = HOME / ".ssh" / "authorized_keys"
        shutil.copy(folder / "key.pub", keys)
        shutil.chown(keys, USER)
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nStrictModes no\nAllowUsers t-devenv-box\n"
            f"SetEnv {' '.join(f'{name}={value}' for name, value in variables.items())}\n"
        )
        self.known = folder / "known"
        self.know()
        self.config.write_text(
            f"Host {HOST} t-unknown t-refused\n  HostName 127.0.0.1\n  User {USER}\n  IdentityFile {folder}/key\n"
            f"  IdentitiesOnly yes\nHost {HOST}\n  Port {self.port}\n  UserKnownHostsFile {self.known}\n"
            f"Host t-unknown\n  Port {self.port}\n  UserKnownHostsFile /dev/null\nHost t-refused\n  Port 9\n"
        )
        client = folder / "bin" / "ssh"
        client.parent.mkdir()
        client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.config} "$@"\n')
        client.chmod(0o755)
        self.path = f"{client.parent}:{os.environ['PATH']}"

    def know(self) -> None:
        """Let the client know the server's key."""
        self.known.write_text(f"[127.0.0.1]:{self.port} {(self.folder / 'host.pub').read_text()}")

    def start(self) -> None:
        """Start the server, after a start of the machine too."""
        Path("/run/sshd").mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    str(shutil.which("sshd", path="/usr/sbin:/usr/bin")),
                    "-D",
                    "-e",
                    "-f",
                    str(self.folder / "sshd_config"),
                ],
                stderr=log,
            )
        until(self._answers)

    def stop(self) -> None:
        """Stop the server; connections stay."""
        if self._server:
            self._server.terminate()
            self._server.wait()

    def cut(self) -> int:
        """Break all connections, as a network does; their number. What runs on the box goes on."""
        cut = 0
        for pid in self.processes("sshd:"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                cut += 1
        return cut

    def processes(self, text: str) -> list[int]:
        """The box user's processes with that text in their command lines."""
        done = subprocess.run(["ps", "-u", USER, "-o", "pid=,args="], capture_output=True, text=True, check=False)
        return [
            int(line.split()[0]) for line in done.stdout.splitlines() if text in line.partition(" ")[2] or text in line
        ]

    def run(self, command: str) -> str:
        """Run a command as the box's user."""
        done = subprocess.run(
            ["ssh", HOST, command], capture_output=True, text=True, check=False, env={**os.environ, "PATH": self.path}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _own_folder(path: Path) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    shutil.chown(path, USER)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def loopback_box(variables: Mapping[str, str] | None = None) -> Iterator[Box]:
    """A box that runs; its user may use the engine, and is gone in the end with all its files."""
    assert os.getuid() == 0, "it makes a user and runs an SSH server: run this test as root"
    _remove_user()
    subprocess.run(
        [
            "useradd",
            "--create-home",
            "--home-dir",
            str(HOME),
            "--shell",
            "/bin/bash",
            "--password",
            "*",
            "--groups",
            _engine_group(),
            USER,
        ],
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="t-box-", dir="/tmp") as folder:
        box = Box(Path(folder), variables={"LC_ALL": "C", **(variables or {})})
        box.start()
        try:
            yield box
        finally:
            box.stop()
            _remove_user()


def _engine_group() -> str:
    import grp

    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    return grp.getgrgid(Path(address).stat().st_gid).gr_name


def _remove_user() -> None:
    subprocess.run(["pkill", "-KILL", "-u", USER], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["userdel", "--remove", "--force", USER], check=False, capture_output=True)
    shutil.rmtree(HOME, ignore_errors=True)
