"""`devenv up` and `devenv build` are killed with SIGKILL at random moments; the next one always succeeds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Cli, docker

pytestmark = pytest.mark.engine
KILLS = 20
BUILD_KILLS = 6


@pytest.fixture
def project(tmp_path: Path, cli: Cli) -> Iterator[Path]:
    folder = tmp_path / "t-kill"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    cli("down", "--volumes", "t-kill")


def test_up_after_every_kill(cli: Cli, project: Path) -> None:
    seed = int(os.environ.get("DEVENV_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed}: DEVENV_TEST_SEED={seed} repeats it")
    dice = random.Random(seed)
    kills = round_ = 0
    while kills < KILLS:
        assert round_ < 4 * KILLS, f"seed {seed}: 'up' is over before it can be killed"
        # Every round another image, so that a kill falls into locking, building, booting, probing or the smoke test.
        (project / "devenv.yaml").write_text(f"extends: python\nname: t-kill\nenv:\n  ROUND: '{seed}-{round_}'\n")
        round_ += 1
        process = subprocess.Popen(
            cli.command("up"), env=cli.env, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        delay = dice.uniform(0.0, 6.0)
        try:
            process.wait(timeout=delay)
            continue
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        done = cli("up", "--json", cwd=project)
        assert done.code == 0, f"seed {seed}, round {round_}, killed after {delay:.2f} s: {done.err}"
        assert done.json()["smoke"]["passed"] is True
        print(f"round {round_}: killed after {delay:.2f} s, up again in {done.seconds:.1f} s")


def test_build_after_every_kill(cli: Cli, project: Path) -> None:
    seed = int(os.environ.get("DEVENV_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed}: DEVENV_TEST_SEED={seed} repeats it")
    dice = random.Random(seed)
    kills = round_ = 0
    while kills < BUILD_KILLS:
        assert round_ < 4 * BUILD_KILLS, f"seed {seed}: 'build' is over before it can be killed"
        (project / "devenv.yaml").write_text(f"extends: python\nname: t-kill\nenv:\n  ROUND: '{seed}-{round_}'\n")
        process = subprocess.Popen(
            cli.command("build"), env=cli.env, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            # The context is rendered in the first second or two; the build takes some more.
            process.wait(timeout=dice.uniform(0.5, 5.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        done = cli("build", "--json", cwd=project)
        assert done.code == 0, f"seed {seed}, round {round_}: {done.err}"
        image = done.json()["image"]["reference"]
        try:
            said = docker("run", "--rm", "--network", "none", image, "sh", "-c", "echo $ROUND; python -V").split()
            assert said[0] == f"{seed}-{round_}"
        finally:
            docker("rmi", image)
        round_ += 1
