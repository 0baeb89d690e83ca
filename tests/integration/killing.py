"""Commands that are killed with SIGKILL at random moments.

DEVENV_TEST_SEED repeats a run's moments, DEVENV_TEST_KILLS sets how many there are of each command.
"""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

from tests.integration.conftest import Cli


def kills(usual: int) -> int:
    """How often to kill a command; `usual` in CI."""
    return int(os.environ.get("DEVENV_TEST_KILLS", usual))


def dice() -> tuple[int, random.Random]:
    """A seed, which is printed, and what chooses the moments by it."""
    seed = int(os.environ.get("DEVENV_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed}: DEVENV_TEST_SEED={seed} repeats it")
    return seed, random.Random(seed)


def killed(cli: Cli, delay_s: float, *arguments: str, cwd: Path | None = None) -> bool:
    """Start a command and kill it after `delay_s`, and not what it started; False when it ended before."""
    process = subprocess.Popen(
        cli.command(*arguments), env=cli.env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(timeout=delay_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False
