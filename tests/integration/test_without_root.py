"""An image as a cluster runs it that allows no root: any uid, a read-only root file system, no capability and no way to get
one. What the pod's volumes would be are folders here that this uid may write."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import docker, get
from tests.waiting import until

pytestmark = pytest.mark.engine
UID = 1000650000
TOKEN = "token-of-this-test"
LIMITS = ("--user", f"{UID}:0", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
PLACES = {"home": "/home/dev", "log": "/var/log/devenv", "workspace": "/workspace", "data": "/mnt/pod", "tmp": "/tmp"}


@pytest.fixture(scope="module")
def image() -> str:
    command = [sys.executable, "-m", "devenv", "build", "python"]
    env = {**os.environ, "DEVENV_RELOCK": "1"}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in (*PLACES, "etc", "host"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    tmp_path.chmod(0o755)
    (tmp_path / "host/token").write_text(TOKEN)
    (tmp_path / "host/token").chmod(0o444)
    return tmp_path


@pytest.fixture
def name() -> Iterator[str]:
    """A container's name; the container is gone at the end."""
    name = f"t-pod-{secrets.token_hex(4)}"
    yield name
    subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)


def _fill(image: str, folders: Path) -> None:
    mounts = [f"--volume={folders / one}:/fill/{one}" for one in ("home", "workspace", "etc")]
    docker("run", "--rm", *LIMITS, *mounts, "--entrypoint", "/usr/local/lib/devenv/fill", image)


def _start(image: str, name: str, folders: Path, *more: str) -> None:
    _fill(image, folders)
    docker(
        "run", "-d", "--name", name, *LIMITS, "--tmpfs", "/run/devenv:exec", "--publish", "127.0.0.1::8443",
        "--publish", "127.0.0.1::8888", "--env", "DEVENV_NAME=pod", "--env", "DEVENV_LOGS=stdout",
        *(f"--volume={folders / one}:{target}" for one, target in PLACES.items()),
        f"--volume={folders}/etc/passwd:/etc/passwd:ro", f"--volume={folders}/host:/run/devenv-host:ro", *more, image,
    )  # fmt: skip


def _inside(name: str, *command: str) -> str:
    return docker("exec", name, "devenv-exec", *command).strip()


def _healthy(name: str) -> bool:
    command = ["docker", "exec", name, "/usr/local/lib/devenv/healthy"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _port(name: str, inside: int) -> str:
    return docker("port", name, str(inside)).split()[0]


def test_everything_comes_up_for_any_uid(image: str, name: str, folders: Path) -> None:
    _start(image, name, folders)
    until(lambda: _healthy(name))
    ide, jupyter = _port(name, 8443), _port(name, 8888)
    assert [get(f"http://{ide}/")[0], get(f"http://{ide}/?token={TOKEN}")[0]] == [401, 302]
    assert [get(f"http://{jupyter}/lab")[0], get(f"http://{jupyter}/lab?token={TOKEN}")[0]] == [401, 302]
    asked = urllib.request.Request(
        f"http://{jupyter}/api/terminals", method="POST", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert json.load(answer)["name"] == "1"
    assert _inside(name, "sh", "-c", "whoami; id -u; echo $HOME").split() == ["dev", str(UID), "/home/dev"]
    assert ".profile" in _inside(name, "ls", "-A", "/home/dev")
    assert _inside(name, "/opt/node/bin/node", "-p", "require('os').userInfo().username") == "dev"
    said = docker("logs", name)
    assert "ide: " in said
    assert "jupyter: " in said
    everything = subprocess.run(["docker", "logs", name], check=True, capture_output=True, text=True).stderr
    assert "cannot write" not in everything
    docker("stop", name)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "0", "ended when it was asked to"


def test_what_nobody_can_write_is_named_at_boot(image: str, name: str, folders: Path) -> None:
    (folders / "workspace").chmod(0o755)
    (folders / "data").chmod(0o750)
    _start(image, name, folders)
    until(lambda: _healthy(name))
    said = subprocess.run(["docker", "logs", name], check=True, capture_output=True, text=True).stderr
    assert f"uid {UID} cannot write /workspace (uid 0, gid 0, mode 755)" in said
    assert f"uid {UID} cannot write /mnt/pod (uid 0, gid 0, mode 750)" in said


def test_a_token_that_cannot_be_read_ends_it(image: str, name: str, folders: Path) -> None:
    (folders / "host/token").chmod(0o400)
    _start(image, name, folders)
    assert docker("wait", name).strip() == "64"
    said = subprocess.run(["docker", "logs", name], check=True, capture_output=True, text=True).stderr
    assert "give the Secret mode 0440 and set fsGroup" in said


def test_volumes_begin_with_what_the_image_has_once(image: str, folders: Path) -> None:
    _fill(image, folders)
    passwd = (folders / "etc/passwd").read_text().splitlines()
    assert passwd[0].startswith(f"dev:x:{UID}:0:")
    assert sum(line.startswith("dev:") for line in passwd) == 1
    assert (folders / "workspace/README.md").is_file()
    (folders / "workspace/README.md").unlink()
    (folders / "workspace/mine").touch()
    _fill(image, folders)
    assert [path.name for path in (folders / "workspace").iterdir() if path.is_file()] == ["mine"], (
        "it is the user's now"
    )
    (folders / "workspace/.devenv-filling").touch()
    os.chown(folders / "workspace/.devenv-filling", UID, 0)
    _fill(image, folders)
    assert (folders / "workspace/README.md").is_file(), "one that was interrupted goes on"
