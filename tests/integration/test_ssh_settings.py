"""What OpenSSH's client reads in the settings that `devenv ssh-config` writes. No connection is made."""

from __future__ import annotations

import shutil
import string
import subprocess
from pathlib import Path

import pytest

from devenv.container import ssh
from devenv.errors import UsageError

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client reads the settings")
CHARACTERS = (
    *(one for one in string.printable if one != "/"),
    "é",
    "\u3000",
    "${X}",
    "%d",
    "a\\",
    "\\\\",
    "~",
    "{a,b}",
)


def _read(config: Path, host: str) -> dict[str, str]:
    """The client's settings for a host."""
    done = subprocess.run(["ssh", "-G", "-F", str(config), host], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


@pytest.mark.parametrize("odd", CHARACTERS)
def test_a_state_folder_is_refused_or_read_as_it_is(odd: str, tmp_path: Path) -> None:
    keys = ssh.Keys(folder=tmp_path / f"a{odd}b" / "devenv" / "ssh", engine="x")
    try:
        keys.check()
    except UsageError:
        return
    keys.own.parent.mkdir(parents=True)
    keys.own.touch()
    variables = {"XDG_STATE_HOME": str(keys.folder.parent.parent)}
    ssh.check_command(("devenv", "ssh-proxy"), variables)
    ssh.write_entries(keys, (ssh.entry("x", proxy=("devenv", "ssh-proxy"), variables=variables, key=keys.own),))
    config = tmp_path / "config"
    assert ssh.change_config(config, keys.include)
    told = _read(config, "devenv-x")
    assert told["identityfile"] == str(keys.own)
    assert told["user"] == "dev"
    command = told["proxycommand"].replace("ssh-proxy x", "").replace("devenv ", "printenv XDG_STATE_HOME #")
    shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert shown.stdout == f"{keys.folder.parent.parent}\n"
    assert ssh.change_config(config, None)
    assert config.read_text() == ""


@pytest.mark.parametrize("odd", CHARACTERS)
def test_a_key_is_refused_or_read_as_it_is(odd: str, tmp_path: Path) -> None:
    keys, key = ssh.Keys(folder=tmp_path / "devenv" / "ssh", engine="x"), tmp_path / f"a{odd}b"
    key.touch()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "made")], check=True)
    (tmp_path / "made.pub").rename(f"{key}.pub")
    try:
        keys.choose(key)
    except UsageError:
        return
    config = tmp_path / "config"
    config.write_text(ssh.entry("x", proxy=("devenv",), variables={}, key=key))
    assert _read(config, "devenv-x")["identityfile"].replace("%%", "%") == str(key)
