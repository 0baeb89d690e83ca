"""Shell completion, by processes of their own, as docs/how-to/shell-completion.md says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def _devenv(**env: str) -> str:
    command = [sys.executable, "-c", "from devenv.cli import main; main()"]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("shell", "registers"),
    [("bash", "complete -o nosort -F"), ("zsh", "compdef"), ("fish", "complete --no-files --command devenv")],
)
def test_a_script_is_printed_for_each_shell(shell: str, registers: str) -> None:
    script = _devenv(_DEVENV_COMPLETE=f"{shell}_source")
    assert registers in script
    assert f"_DEVENV_COMPLETE={shell}_complete" in script


def test_bash_accepts_its_script() -> None:
    script = _devenv(_DEVENV_COMPLETE="bash_source")
    done = subprocess.run(
        ["bash", "-eu", "-c", f"{script}\ncomplete -p devenv"], capture_output=True, text=True, check=True
    )
    assert "-F _devenv_completion devenv" in done.stdout


@pytest.mark.parametrize(
    ("words", "count", "offers"),
    [
        ("devenv pre", "1", {"presets", "prefetch"}),
        ("devenv up --jso", "2", {"--json", "--json-events"}),
        ("devenv weights serve --json --weights-dir x --no", "6", {"--no-token"}),
    ],
)
def test_commands_and_options_are_offered(words: str, count: str, offers: set[str]) -> None:
    out = _devenv(_DEVENV_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count)
    assert {line.partition(",")[2] for line in out.splitlines()} == offers
