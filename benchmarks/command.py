"""Runs what is measured: devenv, docker and other programs, as processes, as a user does."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PREFIX = "bench-"
"""Environments, containers, volumes and images of the benchmarks are called so, and are gone at the end."""
PRESET = "rapidocr"


class FailedError(Exception):
    """A program that the benchmarks need ended badly."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished program."""

    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        """Its stdout as JSON."""
        return json.loads(self.out)


def call(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
    """Run a program to its end. Raises FailedError with what it said."""
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise FailedError(f"{' '.join(command[:6])} … ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return Done(out=done.stdout, err=done.stderr, seconds=seconds)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run of a program: wall time, and the most memory that it, or a process that it started, held."""

    seconds: float
    rss_bytes: int


def measured(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end. Raises FailedError with what it said."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise FailedError(f"{' '.join(command[:4])} … ended with {process.returncode}:\n{said.decode()[-2000:]}")
    return Ran(seconds=time.perf_counter() - began, rss_bytes=used.ru_maxrss * 1024)


def docker(*arguments: str) -> str:
    """The docker client's stdout."""
    return call("docker", *arguments).out


class Bench:
    """One session: the devenv beside this Python, this user's store and images, and a state folder of its own."""

    def __init__(self, *, rounds: int, cold: bool = False, shared: str = "python") -> None:
        self.rounds = rounds
        self.shared = shared
        self.cold = cold
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "devenv"
        self.program = str(Path(sys.executable).with_name("devenv"))
        self.env = {"XDG_STATE_HOME": str(self.folder / "state"), "NO_COLOR": "1"}

    def devenv(self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
        """Run devenv."""
        return call(self.program, *arguments, cwd=cwd, env={**self.env, **(env or {})})

    def down(self, name: str, *options: str) -> None:
        """Remove an environment's container, if there is one."""
        if docker("ps", "-aq", "--filter", f"name=^devenv-{name}$").strip():
            self.devenv("down", *options, name)

    def sweep(self) -> None:
        """Remove every container, volume and folder of the benchmarks."""
        for prefix in (PREFIX, f"devenv-{PREFIX}"):
            remove_containers(f"^{prefix}")
            if volumes := docker("volume", "ls", "-q", "--filter", f"name=^{prefix}").split():
                docker("volume", "rm", "-f", *volumes)
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_containers(pattern: str) -> None:
    """Remove the containers whose name matches, running or not."""
    if found := docker("ps", "-aq", "--filter", f"name={pattern}").split():
        docker("rm", "-f", "-v", *found)


def remove_images(reference: str) -> None:
    """Remove the images that match (their tags only, where a container still uses one)."""
    found = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={reference}").split()
    if found:
        docker("rmi", "-f", *found)


def tell(text: str) -> None:
    """A line for the person who waits, on stderr."""
    print(text, file=sys.stderr, flush=True)
