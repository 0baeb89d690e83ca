"""`devenv up` and `devenv build` are killed with SIGKILL at random moments; the next one always succeeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Cli, docker
from tests.integration.killing import dice, killed, kills

pytestmark = pytest.mark.engine
KILLS = kills(6)
BUILD_KILLS = kills(3)


@pytest.fixture
def project(tmp_path: Path, cli: Cli) -> Iterator[Path]:
    folder = tmp_path / "t-kill"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    cli("down", "--volumes", "t-kill")


def _another(project: Path, word: str) -> None:
    """Another image for every round, so that a kill falls into whatever the command does."""
    (project / "devenv.yaml").write_text(f"extends: python\nname: t-kill\nenv:\n  ROUND: '{word}'\n")


def _seconds(cli: Cli, project: Path, command: str, seed: int) -> float:
    """What a command takes on this machine for another image, when what it does only once is done."""
    for word in ("first", "second"):
        _another(project, f"{command}-{seed}-{word}")
        done = cli.ok(command, "--json", cwd=project)
        assert "build" in [stage["name"] for stage in done.json()["stages"]]
    return done.seconds


def test_up_after_every_kill(cli: Cli, project: Path) -> None:
    seed, moments = dice()
    whole = _seconds(cli, project, "up", seed)
    count = round_ = 0
    while count < KILLS:
        assert round_ < 4 * KILLS, f"seed {seed}: 'up', of {whole:.2f} s, is over before it can be killed"
        _another(project, f"up-{seed}-{round_}")
        round_ += 1
        delay = moments.uniform(0.0, whole)
        if not killed(cli, delay, "up", cwd=project):
            continue
        count += 1
        done = cli("up", "--json", cwd=project)
        assert done.code == 0, f"seed {seed}, round {round_}, killed after {delay:.2f} s: {done.err}"
        assert done.json()["smoke"]["passed"] is True
        print(f"round {round_}: killed after {delay:.2f} of {whole:.2f} s, up again in {done.seconds:.1f} s")


def test_build_after_every_kill(cli: Cli, project: Path) -> None:
    seed, moments = dice()
    whole = _seconds(cli, project, "build", seed)
    count = round_ = 0
    while count < BUILD_KILLS:
        assert round_ < 4 * BUILD_KILLS, f"seed {seed}: 'build', of {whole:.2f} s, is over before it can be killed"
        _another(project, f"build-{seed}-{round_}")
        # Not before the command has begun to work: its first fifth reads the preset and the lock.
        count += killed(cli, moments.uniform(0.2 * whole, whole), "build", cwd=project)
        done = cli("build", "--json", cwd=project)
        assert done.code == 0, f"seed {seed}, round {round_}: {done.err}"
        image = done.json()["image"]["reference"]
        try:
            said = docker("run", "--rm", "--network", "none", image, "sh", "-c", "echo $ROUND; python -V").split()
            assert said[0] == f"build-{seed}-{round_}"
        finally:
            docker("rmi", image)
        round_ += 1
