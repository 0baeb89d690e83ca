"""What `devenv diff` names: many kinds of drift in one container, in random order, and nothing else."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Cli, Done, docker

pytestmark = pytest.mark.engine
BOX, NAME = "devenv-t-drift", "t-drift"
SITE, NODE, DEV = "/opt/venv/lib/python3.11/site-packages", "/opt/node/lib/node_modules", "/home/dev"
EDITOR = f"/mnt/{NAME}/.code-server"
SEED = int(os.environ.get("DEVENV_TEST_SEED", random.randrange(10**6)))
Found = set[tuple[str, str, str]]

_PROJECT = """
mkdir -p /workspace/{0}/src/{0} && cd /workspace/{0} && touch src/{0}/__init__.py && cat > pyproject.toml <<.
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{0}"
version = "0.1"
.
"""
_LIE = f"""mkdir {SITE}/liar-1.dist-info && cd {SITE}/liar-1.dist-info && printf 'Name: liar\\nVersion: 1\\n' > METADATA
printf '#!/bin/sh\\n' | sudo tee /usr/bin/liar > /dev/null
printf '../../../../../usr/bin/liar,,\\nattr/_version_info.py,,\\n' > RECORD"""
_EXTENSIONS = json.dumps([{"identifier": {"id": "who.what"}, "version": "1.2.3"}])

# Each: the command that a person gives, and what is to be named: kind, change, name.
DRIFTS: tuple[tuple[str, Found], ...] = (
    ("pip install -q sampleproject==4.0.0", {("python", "added", "sampleproject"), ("python", "added", "peppercorn")}),
    ("pip install -q uv && uv pip install -q --python /opt/venv/bin/python colorama==0.4.6",
     {("python", "added", "uv"), ("python", "added", "colorama")}),
    ("pip install -q idna==3.10", {("python", "changed", "idna")}),
    ("pip uninstall -q -y webencodings", {("python", "removed", "webencodings")}),
    ("pip install -q --force-reinstall --no-deps six", set()),
    (_PROJECT.format("ours") + "pip install -q -e .", {("python", "editable", "ours")}),
    (_PROJECT.format("built") + "pip install -q .", {("python", "added", "built")}),
    (f"echo '# mine' >> {SITE}/attr/__init__.py", {("python", "edited", "attrs")}),
    (f"echo 1 > {SITE}/jedi/extra.py; rm {SITE}/jedi/plugins/flask.py", {("python", "edited", "jedi")}),
    (f"echo 1 > {SITE}/loose.py", {("file", "added", f"{SITE}/loose.py")}),
    ("python -c 'import attr, parso, tornado'", set()),
    (_LIE, {("python", "added", "liar"), ("file", "added", "/usr/bin/liar")}),
    ("sudo apt-get -qq update && sudo apt-get -qq -y install jq",
     {("apt", "added", "jq"), ("apt", "added", "libjq1"), ("apt", "added", "libonig5")}),
    ("sudo apt-get -qq -y purge nano", {("apt", "removed", "nano")}),
    ("sudo chmod 700 /usr/bin/less", {("apt", "edited", "less")}),
    ("sudo env PATH=$PATH npm install -g --silent is-odd@3.0.1", {("npm", "added", "is-odd")}),
    (f"echo mine | sudo tee -a {NODE}/corepack/README.md", {("npm", "edited", "corepack")}),
    (f"sudo ln -s /workspace/linked {NODE}/linked", {("npm", "editable", "linked")}),
    (f"echo '{{\"editor.fontSize\": 20}}' > {EDITOR}/User/settings.json",
     {("settings", "changed", f"{EDITOR}/User/settings.json")}),
    (f"echo '[]' > {EDITOR}/User/keybindings.json", {("settings", "added", f"{EDITOR}/User/keybindings.json")}),
    (f"mkdir -p {EDITOR}/extensions; echo '{_EXTENSIONS}' > {EDITOR}/extensions/extensions.json",
     {("extension", "added", "who.what")}),
    ("git config --global user.name Ann", {("settings", "added", f"{DEV}/.gitconfig")}),
    ("pip config set global.timeout 60", {("settings", "added", f"{DEV}/.config/pip/pip.conf")}),
    ("echo 'alias ll=\"ls -l\"' >> ~/.bashrc", {("settings", "changed", f"{DEV}/.bashrc")}),
    ("mkdir -p ~/.jupyter; echo c.x=1 > ~/.jupyter/jupyter_server_config.py",
     {("settings", "added", f"{DEV}/.jupyter/jupyter_server_config.py")}),
    ("echo export MINE=1 | sudo tee /etc/profile.d/mine.sh", {("settings", "added", "/etc/profile.d/mine.sh")}),
    ("python -m ipykernel install --user --name mine", {("kernel", "added", "mine")}),
    ("mkdir -m 700 ~/.ssh; echo not really > ~/.ssh/id_ed25519", {("secret", "added", f"{DEV}/.ssh/id_ed25519")}),
    ("mkdir ~/notes; echo one > ~/notes/one.txt", {("file", "added", f"{DEV}/notes/one.txt")}),
    ("mkdir ~/many; for n in $(seq 40); do echo $n > ~/many/$n; done", {("file", "added", f"{DEV}/many/")}),
    ("sudo rm /usr/local/share/devenv/kernel_check.py",
     {("file", "removed", "/usr/local/share/devenv/kernel_check.py")}),
    ("sudo rmdir /srv && sudo ln -s / /srv", {("file", "changed", "/srv")}),
    ("sudo sh -c 'cp /bin/true /usr/local/bin/set; ln /usr/local/bin/set /usr/local/bin/again; chmod 4755 /usr/local/bin/set'",
     {("file", "added", "/usr/local/bin/set"), ("file", "added", "/usr/local/bin/again")}),
    ("mkdir ~/odd; touch ~/odd/$'new\\nline' ~/odd/$'bad\\xff'; mkfifo ~/odd/fifo",
     {("file", "added", f"{DEV}/odd/new\nline"), ("file", "added", f"{DEV}/odd/bad\udcff"),
      ("file", "added", f"{DEV}/odd/fifo")}),
    ("echo 1 > /tmp/x; mkdir -p ~/.cache/x; echo 1 > ~/.cache/x/y; history -s ls; history -w ~/.bash_history", set()),
    ("cp -a /etc/skel/.profile ~/.profile; touch ~/.bashrc; sudo touch /usr/bin/curl", set()),
    ("HOST docker update --cpus 1.5 devenv-t-drift", {("container", "changed", "NanoCpus")}),
)  # fmt: skip


@pytest.fixture(scope="module")
def drifted(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An environment that nobody has touched."""
    assert cli.ok("up", "python", "--name", NAME, "--json").json()["smoke"]["passed"]
    assert cli.ok("diff", NAME, "--json").json()["items"] == []
    yield
    subprocess.run(["docker", "unpause", BOX], check=False, capture_output=True)
    cli("down", "--volumes", NAME)


def drift(command: str) -> None:
    if command.startswith("HOST docker "):
        docker(*command.split()[2:])
    else:
        docker("exec", BOX, "devenv-exec", "bash", "-ec", command)


def found(done: Done) -> Found:
    assert done.code == 12, done.err
    return {(one["kind"], one["change"], one["name"]) for one in done.json()["items"]}


def compared(cli: Cli) -> Done:
    """A diff as a user has it who cannot read the engine's folders."""
    code = "from devenv.cli import main; from devenv.doors.docker import changes; changes._of_layers = lambda _: None; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "diff", NAME, "--json"], env=cli.env, capture_output=True, text=True, check=False
    )
    return Done(code=done.returncode, out=done.stdout, err=done.stderr, seconds=0)


def test_every_kind_of_drift_is_named_and_nothing_else(cli: Cli, drifted: None, tmp_path: Path) -> None:
    print(f"DEVENV_TEST_SEED={SEED}")
    order = random.Random(SEED).sample(DRIFTS, len(DRIFTS))
    expected: Found = set()
    for part in (order[: len(order) // 2], order[len(order) // 2 :]):
        for command, names in part:
            drift(command)
            expected |= names
        assert found(cli("diff", NAME, "--json")) == expected
    assert found(compared(cli)) == expected, "as the engine compares"
    docker("pause", BOX)
    assert found(cli("diff", NAME, "--json")) == expected
    docker("unpause", BOX)
    docker("stop", "-t", "30", BOX)
    table = cli("diff", NAME)
    assert table.code == 12
    for text in ("sampleproject", "editable, file:///workspace/ours", "dependency", "not compared: /workspace"):
        assert text in table.out + table.err
    docker("start", BOX)
    _patch_and_rebuild(cli, tmp_path)


def _patch_and_rebuild(cli: Cli, folder: Path) -> None:
    """The patch keeps what a person wrote, and its lock and image have all that is not left out with a reason."""
    project = folder / "t-drifted"
    project.mkdir()
    project.chmod(0o777)
    own = "# ours\nextends: python\nname: t-drifted  # its name\npip:\n  # colours\n  - colorama  # any\nsmoke:\n  kernel: null\n"
    preset = project / "devenv.yaml"
    preset.write_text(own)
    told = cli.ok("diff", NAME, "--patch", str(preset), "--json").json()
    text = preset.read_text()
    assert [one for one in own.splitlines() if one not in text.splitlines()] == ["  - colorama  # any"]
    assert "  - colorama==0.4.6  # any" in text
    assert {one["name"] for one in told["left"]} >= {
        "attrs", "jedi", "ours", "built", "webencodings", "nano", "less", "corepack", "linked", "who.what",
        f"{DEV}/.ssh/id_ed25519", "/srv", "/usr/local/bin/set", f"{DEV}/odd/bad\udcff", "NanoCpus",
    }  # fmt: skip
    assert not (project / "environment-files" / "home" / "dev" / ".ssh").exists()
    try:
        cli.ok("lock", cwd=project)
        cli.ok("up", "--json", cwd=project)
        assert cli.ok("diff", "--json", cwd=project).json()["items"] == []
        script = (
            "pip show -q sampleproject; pip list 2>/dev/null | grep -E '^(idna +3.10|colorama +0.4.6)$'; jq --version; "
            "test -e /opt/npm/node_modules/is-odd/package.json; git config --global user.name; cat ~/notes/one.txt ~/many/40; "
            "jupyter kernelspec list 2>/dev/null | grep mine"
        )
        assert "Ann" in cli.ok("exec", "bash", "-ec", script, cwd=project).out
    finally:
        cli("down", "--volumes", "t-drifted")


def test_bad_input_is_one_clear_error(cli: Cli, drifted: None, tmp_path: Path) -> None:
    done = cli("diff", NAME, env={"XDG_STATE_HOME": str(tmp_path)})
    assert (done.code, "another user's" in done.err) == (2, True)
    done = cli("diff", "t-nothing")
    assert (done.code, "t-nothing" in done.err) == (2, True)
    facts: Any = json.loads(docker("inspect", BOX))[0]
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    docker("build", "-q", "-t", "devenv/t-drift:none", str(tmp_path))
    cli.ok("down", NAME)
    for image, change, code, words in (
        ("devenv/t-drift:none", {}, 2, "carries no lock"),
        (facts["Image"], {"dev.devenv.lock": "0" * 64}, 4, "says that its lock is 000000000000"),
    ):
        labels = {**facts["Config"]["Labels"], **change}
        options = [f"--label={key}={value}" for key, value in labels.items()]
        mounts = [f"--volume={one.get('Name') or one['Source']}:{one['Destination']}" for one in facts["Mounts"]]
        docker("create", "--name", BOX, *mounts, *options, image, "true")
        done = cli("diff", NAME)
        assert (done.code, words in done.err) == (code, True), done.err
        assert "Traceback" not in done.err
        docker("rm", BOX)
    done = cli("diff", NAME)
    assert (done.code, NAME in done.err) == (2, True), "it is gone"
