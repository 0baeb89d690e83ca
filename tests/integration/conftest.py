"""Integration tests run the real command line against the real engine.

They share this user's artifact store, builder cache and images of shipped presets (that is what makes them quick), and keep
their own state: every environment and project of theirs is called `t-…` and is gone at the end, with its images.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished devenv command."""

    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        assert self.code in (0, 10, 12), self.err
        return json.loads(self.out)


class Cli:
    """Runs `devenv` as a user does: as a process."""

    def __init__(self, state: Path) -> None:
        self.env = {**os.environ, "XDG_STATE_HOME": str(state), "NO_COLOR": "1", "DEVENV_RELOCK": "1"}
        # Relock: Debian's mirrors drop superseded packages, and that is no fault of the code under test.

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "devenv", *arguments]

    def __call__(self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
        began = time.monotonic()
        done = subprocess.run(
            self.command(*arguments),
            env={**self.env, **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        return Done(code=done.returncode, out=done.stdout, err=done.stderr, seconds=seconds)

    def ok(self, *arguments: str, cwd: Path | None = None) -> Done:
        done = self(*arguments, cwd=cwd)
        assert done.code == 0, f"{arguments} ended with {done.code}\n{done.err}"
        return done


def docker(*arguments: str) -> str:
    """Run the docker client; its stdout."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sweep(cli: Cli) -> None:
    """Remove every environment of these tests, its volumes and images, and what a run that was killed left without a
    container: what an earlier run made must not decide what this one sees."""
    for one in json.loads(cli("ps", "--json").out or "[]"):
        if one["name"].startswith("t-"):
            # An earlier run had other folders of state, so it counts as another user.
            cli("down", "--volumes", "--all-users", one["name"])
    if left := docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=devenv/t-*").split():
        docker("rmi", "-f", *left)
    if left := docker("volume", "ls", "--quiet", "--filter", "name=^devenv-t-").split():
        docker("volume", "rm", *left)


def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """GET without following redirects; (status, body)."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    opener = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=dict(headers or {})), timeout=10) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command line, with no environment and no project's image of an earlier run there, and none of this one left; a
    module that has a command line of its own asks for this too, by `usefixtures`."""
    runner = Cli(tmp_path_factory.mktemp("state"))
    sweep(runner)
    yield runner
    sweep(runner)


@pytest.fixture(scope="session")
def up_python(cli: Cli) -> Mapping[str, Any]:
    """The `python` preset's environment, up once for all tests that only look."""
    return cli.ok("up", "python", "--name", "t-python", "--json").json()


@pytest.fixture(scope="session")
def up_rapidocr(cli: Cli) -> Mapping[str, Any]:
    """The `rapidocr` preset's environment, up once for all tests that only look."""
    return cli.ok("up", "rapidocr", "--name", "t-ocr", "--json").json()


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """The `python` preset rendered with its artifacts: a folder that builds without devenv."""
    cli.ok("build", "python")  # locks what the mirrors no longer have, and its steps are then cached
    folder = tmp_path_factory.mktemp("standalone")
    cli.ok("render", "python", "-o", str(folder), "--with-artifacts")
    return folder
