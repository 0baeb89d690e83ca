"""The SSH client's command line, and its words turned into one error."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.doors.ssh import Ssh, is_refusal, sockets
from devenv.errors import TargetError

BOX = Ssh(name="box", destination="me@box", folder=Path("/run/user/7/devenv"))


def test_the_destination_is_never_an_option() -> None:
    command = BOX.command(("echo", "a b", "$(id)"))
    assert command[-3:] == ["--", "me@box", "echo 'a b' '$(id)'"]
    assert {"ControlMaster=auto", "ForwardAgent=no", "BatchMode=no", "ClearAllForwardings=yes"} <= set(command)
    assert not [one for one in command if one.startswith("StrictHostKeyChecking")], "host keys are the user's matter"


def test_ports_stand_on_loopback_alone() -> None:
    command = BOX.command(("true",), ask=False, forwards={18443: 8443})
    assert command[command.index("-L") + 1] == "127.0.0.1:18443:127.0.0.1:8443"
    assert "BatchMode=yes" in command
    assert "ClearAllForwardings=yes" not in command


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("ssh: Could not resolve hostname box: Name or service not known", "its host name is unknown"),
        ("ssh: connect to host box port 22: Connection refused", "no SSH server answers there"),
        ("ssh: connect to host box port 22: Connection timed out", "it does not answer"),
        ("me@box: Permission denied (publickey).", "it does not accept your login"),
        ("Host key verification failed.", "its host key is not known yet"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "another one than before"),
        ("client_loop: send disconnect: Broken pipe", "the connection broke"),
        ("Timeout, server box not responding.", "it does not answer"),
        ("something else", "the SSH client failed"),
    ],
)  # fmt: skip
def test_each_fault_has_its_words_and_a_remedy(said: str, why: str) -> None:
    error = BOX.fault(said)
    assert f"box cannot be reached: {why}" in error.message or why in error.message
    assert error.hint
    assert error.exit_code == 14


def test_what_a_person_has_to_do_is_not_tried_again() -> None:
    assert is_refusal("me@box: Permission denied (publickey).")
    assert not is_refusal("Connection refused")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path a socket can have."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_sockets_lie_in_a_folder_of_this_user_alone(short: Path) -> None:
    tmp_path = short
    folder = sockets(tmp_path, os.getuid())
    assert folder == tmp_path / "devenv"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(TargetError, match="not a folder of yours alone"):
        sockets(tmp_path, os.getuid())
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(TargetError, match="not a folder of yours alone"):
        sockets(tmp_path, os.getuid())


def test_a_sockets_path_stays_short(tmp_path: Path) -> None:
    assert len(os.fsencode(sockets(tmp_path / ("x" * 100), os.getuid()))) < 60
