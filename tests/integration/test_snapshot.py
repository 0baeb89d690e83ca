"""`devenv snapshot`, `snapshots`, `reset` and `up SNAPSHOT`, on one environment that is changed in many ways."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.integration.conftest import Cli, docker
from tests.integration.killing import dice, killed, kills
from tests.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("cli")]

NAME, BOX = "t-snap", "devenv-t-snap"
TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4xZ7cF0rL3yU6"
KILLS = kills(4)

CHANGES = r"""
set -e
echo note > /home/dev/note; ln /home/dev/note /home/dev/again; ln -s note /home/dev/link; mkfifo -m 600 /home/dev/pipe
mkdir -p /home/dev/deep/er; echo deep > /home/dev/deep/er/file; chown -R dev:dev /home/dev/note /home/dev/deep
chmod 2750 /home/dev/deep
printf odd > "/home/dev/deep/$(printf '\377')"
rm /etc/skel/.profile; rm -r /usr/share/doc/less
rm -r /usr/share/doc/nano; ln -s /usr/bin /usr/share/doc/nano
cp /bin/true /usr/local/bin/root-program; chmod 4755 /usr/local/bin/root-program
cp /bin/true /usr/local/bin/listener; chown 4321:1234 /usr/local/bin/listener
/usr/bin/python3 -c 'import os; os.setxattr("/usr/local/bin/listener", "security.capability", bytes.fromhex(
    "0100000200040000000000000000000000000000"))'
mkdir -p /opt/venv/lib/python3.11/site-packages/made-1.0.dist-info
echo "print('made')" > /opt/venv/lib/python3.11/site-packages/made.py
printf 'Metadata-Version: 2.1\nName: made\nVersion: 1.0\n' \
    > /opt/venv/lib/python3.11/site-packages/made-1.0.dist-info/METADATA
"""
LOOK = r"""
cd /; stat -c '%n %F %a %u:%g' /home/dev/note /home/dev/again /home/dev/link /home/dev/pipe /home/dev/deep /home/dev/deep/er \
    /home/dev/deep/er/file /usr/local/bin/root-program /usr/local/bin/listener /usr/share/doc/nano
cat /home/dev/again /home/dev/deep/er/file; cat "/home/dev/deep/$(printf '\377')"; readlink /usr/share/doc/nano /home/dev/link
ls -d /etc/skel/.profile /usr/share/doc/less 2>&1 | wc -l; ls /usr/bin | wc -l
/usr/bin/python3 -c 'import os; print(os.getxattr("/usr/local/bin/listener", "security.capability").hex())'
/opt/venv/bin/python -m made; /opt/venv/bin/pip show made 2>/dev/null | head -2
"""


def _in(script: str, box: str = BOX) -> str:
    return docker("exec", "-u", "root", box, "sh", "-c", script)


def _snapshot(cli: Cli, *arguments: str) -> Any:
    return cli.ok("snapshot", NAME, *arguments, "--json").json()


def _state_folder(cli: Cli) -> Path:
    return Path(cli.env["XDG_STATE_HOME"]) / "devenv"


def _folder(cli: Cli) -> Path:
    return _state_folder(cli) / "snapshots"


def _names(cli: Cli, name: str) -> list[str]:
    with tarfile.open(_folder(cli) / name / "layer.tar") as layer:
        return layer.getnames()


def _state(box: str = BOX) -> str:
    return docker("inspect", "--format", "{{.State.Status}}", box).strip()


@pytest.fixture(scope="module")
def snap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A command line with a state of its own, where one environment is up."""
    runner = Cli(tmp_path_factory.mktemp("snap"))
    runner.ok("up", "python", "--name", NAME)
    yield runner
    for name in (NAME, "t-snap-copy", "t-snap-run"):
        runner("down", "--volumes", name)
    for one in json.loads(runner("snapshots", "list", "--json").out or "[]"):
        runner("snapshots", "rm", one["name"])
    for path in _state_folder(runner).glob("images/*"):
        subprocess.run(["docker", "rmi", unquote(path.name)], capture_output=True, check=False)


@pytest.fixture(scope="module")
def kept(snap: Cli) -> tuple[Cli, Any, str]:
    """The environment changed and kept as `t-first`; (the command line, the snapshot, what was there)."""
    _in(CHANGES)
    seen = _in(LOOK)
    return snap, _snapshot(snap, "t-first", "-m", "first", "--no-lock"), seen


def test_it_holds_what_changed_and_nothing_else(kept: tuple[Cli, Any, str]) -> None:
    cli, first, _ = kept
    assert (first["message"], first["environment"], first["parent"], first["volumes"]) == ("first", NAME, "", {})
    names = _names(cli, "t-first")
    assert names == sorted(names)
    assert {"etc/skel/.wh..profile", "usr/share/doc/.wh.less", "home/dev/deep/er/file"} <= {*names}
    assert not [one for one in names if "cache" in one or one.startswith(("workspace", "run", "etc/devenv", "dev/"))]
    assert _state() == "running"


def test_the_same_state_gives_the_same_layer(kept: tuple[Cli, Any, str]) -> None:
    cli, first, _ = kept
    assert _snapshot(cli, "t-again", "--no-lock")["layer_sha256"] == first["layer_sha256"]


def test_reset_and_back_and_the_next_snapshot_holds_both(kept: tuple[Cli, Any, str], tmp_path: Path) -> None:
    cli, first, seen = kept
    cli.ok("reset", NAME)
    assert _in("ls -A /home/dev | grep -c note; true").strip() == "0"
    assert _in("ls /etc/skel/.profile").strip() == "/etc/skel/.profile"

    up = cli.ok("up", "t-first", "--json").json()
    assert (up["name"], up["smoke"]["passed"]) == (NAME, True)
    assert _in(LOOK) == seen
    assert cli.ok("up", "t-first", "--json").json()["container_id"] == up["container_id"]  # it costs nothing again

    again = _snapshot(cli, "t-copy", "--no-lock")
    assert (again["layer_sha256"], again["parent"]) == (first["layer_sha256"], "t-first")
    _in("rm /home/dev/note; echo more > /home/dev/more")
    second = _snapshot(cli, "t-second", "--no-lock")
    assert second["parent"] == "t-first"
    names = {*_names(cli, "t-second")}
    assert names == ({*_names(cli, "t-first")} - {"home/dev/note"}) | {"home/dev/more"}
    layers = json.loads(docker("inspect", "--format", "{{json .RootFS.Layers}}", up["image"]["reference"]))
    below = json.loads(
        docker("inspect", "--format", "{{json .RootFS.Layers}}", up["image"]["reference"].rpartition("-")[0])
    )
    cli.ok("reset", NAME, "t-second")
    assert _in("cat /home/dev/more; ls -A /home/dev").split()[0] == "more"
    new = docker("inspect", "--format", "{{.Image}}", BOX).strip()
    over = json.loads(docker("inspect", "--format", "{{json .RootFS.Layers}}", new))
    assert layers[:-1] == below == over[:-1]  # one layer over the lock's image, and none over another

    # Neither does 'prune' take the image that its snapshot is laid over.
    cli.ok("prune")
    assert cli("diff", NAME, "--json").code == 12
    cli.ok("reset", NAME, "t-first")
    assert _in(LOOK) == seen


def test_a_package_of_an_index_goes_into_preset_and_lock(kept: tuple[Cli, Any, str]) -> None:
    cli, *_ = kept
    _in("mv /opt/venv/lib/python3.11/site-packages/made-1.0.dist-info /tmp/")  # no index has that one
    cli.ok("exec", NAME, "--", "pip", "install", "-q", "cowsay==6.1")
    made = _snapshot(cli, "t-locked")
    cli.ok("exec", NAME, "--", "pip", "uninstall", "-q", "-y", "cowsay")
    _in("mv /tmp/made-1.0.dist-info /opt/venv/lib/python3.11/site-packages/")
    assert made["locked"] == "pip:\n  - cowsay==6.1"
    assert "cowsay==6.1" in (_folder(cli) / "t-locked/preset/preset.yaml").read_text()
    assert not [one for one in _names(cli, "t-locked") if "cowsay" in one]


def test_secrets_refuse_without_their_value_and_allow_is_recorded(kept: tuple[Cli, Any, str]) -> None:
    cli, *_ = kept
    own = (_state_folder(cli) / f"envs/{NAME}/host/token").read_text().strip()
    notebook = json.dumps({"cells": [{"cell_type": "code", "source": [], "outputs": [{"text": [TOKEN]}]}]})
    planted = {
        "/home/dev/.netrc": "machine example login x password y", "/home/dev/conf.py": f"T = '{TOKEN}'\n",
        "/home/dev/own.txt": own, "/home/dev/n.ipynb": notebook,
    }  # fmt: skip
    for path, text in planted.items():
        _in(f"echo {base64.b64encode(text.encode()).decode()} | base64 -d > {path}")
    try:
        refused = cli("snapshot", NAME, "t-refused", "--no-lock")
        assert refused.code == 11
        assert all(f"{path}" in refused.err for path in planted), refused.err
        assert TOKEN not in refused.err + refused.out
        assert own not in refused.err + refused.out
        assert not (_folder(cli) / "t-refused").exists()
        assert _state() == "running"
        allow = [word for path in planted for word in ("--allow", path)]
        made = _snapshot(cli, "t-allowed", "--no-lock", *allow)
        assert made["allowed"] == sorted(planted)
        assert cli.ok("snapshots", "list", "--json").json()[-1]["allowed"] == sorted(planted)
    finally:
        _in(f"rm -f {' '.join(planted)}")


def test_workspace_and_data_come_into_a_second_environment(kept: tuple[Cli, Any, str]) -> None:
    cli, *_ = kept
    long = "ä" * 90
    _in(
        f"mkdir /workspace/sub; echo mine > /workspace/sub/{long}; echo data > /mnt/{NAME}/data; chown -R dev: /workspace"
    )
    made = cli.ok("snapshot", NAME, "t-full", "--no-lock", "--with-workspace", "--with-data", "--json")
    assert {*made.json()["volumes"]} == {"/workspace", f"/mnt/{NAME}"}
    assert "keeping /workspace" in made.err
    look = f"cat /workspace/sub/{long} /mnt/t-snap-run/data /home/dev/deep/er/file"
    ran = cli.ok("-q", "run", "t-full", "--name", "t-snap-run", "--", "sh", "-c", look)
    assert ran.out == f"mine\ndata\n{_in('cat /home/dev/deep/er/file')}"
    cli.ok("down", "--volumes", "t-snap-run")
    cli.ok("up", "t-full", "--name", "t-snap-copy")
    box = "devenv-t-snap-copy"
    assert _in(f"cat /workspace/sub/{long} /mnt/t-snap-copy/data", box).split() == ["mine", "data"]
    assert _in("stat -c %U /workspace/sub", box).strip() == "dev"
    _in(f"echo newer > /workspace/sub/{long}", box)
    again = cli.ok("up", "t-full", "--name", "t-snap-copy", "--fresh")
    assert "/workspace is there already" in again.err
    assert _in(f"cat /workspace/sub/{long}", box).strip() == "newer"
    cli.ok("down", "--volumes", "t-snap-copy")


def test_names_lists_and_removal(kept: tuple[Cli, Any, str]) -> None:
    cli, *_ = kept
    rows = cli.ok("snapshots", "list", "--json")
    first = next(one for one in rows.json() if one["name"] == "t-first")
    assert (first["message"], first["environment"]) == ("first", NAME)
    assert "t-first" in cli.ok("snapshots").out
    for words, said in (
        (("snapshot", NAME, "t-first"), "there is a snapshot t-first already"),
        (("snapshot", NAME, "python"), "python is a shipped preset"),
        (("snapshot", NAME, "Not_A_Name"), "cannot be a snapshot's name"),
        (("snapshot", "t-nowhere", "x"), "unknown environment 't-nowhere'"),
        (("reset", NAME, "t-nothing"), "unknown snapshot 't-nothing'"),
        (("snapshots", "rm", "t-nothing"), "unknown snapshot 't-nothing'"),
    ):
        done = cli(*words)
        assert done.code == 2, done.err
        assert said in done.err
        assert done.err.count("error:") == 1
    other = Cli(Path(cli.env["XDG_STATE_HOME"]) / "other")
    assert "another user" in other("snapshot", NAME, "x").err
    cli.ok("snapshot", NAME, "t-short", "--no-lock")
    assert cli.ok("snapshots", "rm", "t-short", "--json").json() == ["t-short"]
    assert not (_folder(cli) / "t-short").exists()


def test_a_paused_container_stays_paused_and_a_stopped_one_stopped(kept: tuple[Cli, Any, str]) -> None:
    cli, *_ = kept
    docker("pause", BOX)
    try:
        _snapshot(cli, "t-paused", "--no-lock")
        assert _state() == "paused"
    finally:
        docker("unpause", BOX)
    cli.ok("stop", NAME)
    _snapshot(cli, "t-stopped", "--no-lock")
    assert _state() == "exited"
    cli.ok("start", NAME)


def test_after_every_kill_the_container_runs_and_the_next_snapshot_succeeds(kept: tuple[Cli, Any, str]) -> None:
    cli, *_ = kept
    _, moments = dice()
    whole = cli("snapshot", NAME, "t-whole", "--no-lock").seconds
    for number in range(KILLS):
        delay = moments.uniform(0.2 * whole, whole)
        was_killed = killed(cli, delay, "snapshot", NAME, f"t-kill-{number}", "--no-lock")
        if was_killed and number % 2:  # otherwise the next one begins while the container is still resumed for this one
            until(lambda: _state() == "running")
        assert all(json.loads(path.read_text()) for path in _folder(cli).glob("t-kill-*/snapshot.json"))
        assert len([*_folder(cli).glob("t-kill-*")]) == len([*_folder(cli).glob("t-kill-*/snapshot.json")])
    _snapshot(cli, "t-after", "--no-lock")
    assert not [*_folder(cli).glob(".unfinished-*")]
    until(lambda: _state() == "running")


def test_a_full_disk_is_named_and_leaves_nothing(kept: tuple[Cli, Any, str], tmp_path: Path) -> None:
    assert os.getuid() == 0, "it mounts a file system: run this test as root"
    cli, *_ = kept
    small, own = tmp_path / "small", _state_folder(cli)
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(small)], check=True)
    folder = _folder(cli)
    try:
        folder.rename(own / "set-aside")
        folder.symlink_to(small)
        _in("head -c 4000000 /dev/urandom > /home/dev/big")
        done = cli("snapshot", NAME, "t-big", "--no-lock")
        assert done.code == 11, done.err
        assert "free disk space" in done.err
        assert [one.name for one in small.iterdir()] == [".lock"]
        assert _state() == "running"
    finally:
        _in("rm -f /home/dev/big")
        folder.unlink()
        (own / "set-aside").rename(folder)
        subprocess.run(["umount", str(small)], check=True)


def test_a_container_with_variables_of_its_own_leaks_none_of_them(kept: tuple[Cli, Any, str]) -> None:
    """And one whose labels or image are not devenv's is refused."""
    cli, *_ = kept
    facts = json.loads(docker("inspect", BOX))[0]
    labels = [word for key, value in facts["Config"]["Labels"].items() for word in ("--label", f"{key}={value}")]
    binds = [one for one in facts["Mounts"] if one["Type"] == "bind"]
    labels += [word for one in binds for word in ("-v", f"{one['Source']}:{one['Destination']}:ro")]
    docker("rename", BOX, f"{BOX}-real")
    try:
        docker("create", "--name", BOX, "-e", f"MINE={TOKEN}", *labels, facts["Image"], "true")
        made = _snapshot(cli, "t-given", "--no-lock")
        assert any("variable MINE" in one for one in made["left_out"])
        for path in (_folder(cli) / "t-given").rglob("*"):
            assert path.is_dir() or TOKEN.encode() not in path.read_bytes()
        docker("rm", BOX)
        docker("create", "--name", BOX, *labels, "--label", "dev.devenv.lock=abc", facts["Image"], "true")
        lied = cli("snapshot", NAME, "t-lied", "--no-lock")
        assert (lied.code, lied.err.count("error:")) == (4, 1), lied.err
    finally:
        subprocess.run(["docker", "rm", "-f", BOX], capture_output=True, check=False)
        docker("rename", f"{BOX}-real", BOX)
