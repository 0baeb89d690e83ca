"""The smoke test: the preset's checks, run inside as the user, reported as data."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from devenv.container.labels import Running
from devenv.doors.docker.engine import Engine
from devenv.doors.terminal.progress import Progress
from devenv.doors.terminal.stages import Stages
from devenv.doors.thread import in_thread
from devenv.doors.untrusted import last_object
from devenv.errors import SmokeError
from devenv.plan.inside import PlannedCheck

if TYPE_CHECKING:
    from concurrent.futures import Future

PLUMBING = "plumbing passed; the result itself was not checked"
_TAIL_LINES = 20
TIMED_OUT = 124  # coreutils' timeout
Inside: TypeAlias = Callable[[list[str]], tuple[int, str, str]]
"""Runs a command in an environment: its status, output and errors."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check's result. `report` is the JSON object on the last line it printed, if any; `expect`:
    `result`, or `plumbing`: everything runs, but the result itself is unchecked."""

    name: str
    passed: bool
    exit_code: int
    seconds: float
    report: Mapping[str, Any]
    tail: str
    expect: str = "result"

    @property
    def words(self) -> str:
        """The result for people. A plumbing pass is never reported as a pass."""
        if not self.passed:
            return "FAILED"
        return "passed" if self.expect == "result" else PLUMBING

    @property
    def line(self) -> str:
        """Name, result, and the check's own summary."""
        return f"{self.name}: {self.words} {self.report.get('summary') or ''}".rstrip()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole smoke test."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(one.passed for one in self.checks)

    def raise_failed(self, environment: str) -> None:
        """Raise SmokeError naming the checks that failed, with the end of what they printed."""
        failed = [one for one in self.checks if not one.passed]
        if not failed:
            return
        first = failed[0]
        how = "timed out" if first.exit_code == TIMED_OUT else f"ended with status {first.exit_code}"
        raise SmokeError(
            f"smoke check {first.name!r} {how}" + (f" (and {len(failed) - 1} more failed)" if failed[1:] else ""),
            detail=first.tail or None,
            hint=f"the environment keeps running; look inside: devenv shell {environment}; "
            f"run the test again: devenv smoke {environment}",
        )


def smoke(running: Running, engine: Engine, *, progress: Progress) -> Report:
    """Run every check, one after another. Raises EngineError only; failures are in the report."""

    def inside(command: list[str]) -> tuple[int, str, str]:
        # As root, which devenv-exec gives up: right after a start `dev` does not have the host user's numbers yet.
        return engine.exec(running.facts.name, command, user="root")

    return every(running.checks, inside, progress=progress)


def every(checks: Iterable[PlannedCheck], inside: Inside, *, progress: Progress) -> Report:
    """Run checks one after another. Raises what `inside` raises; failures are in the report."""
    found = []
    for check in checks:
        progress.message(check.name)
        found.append(_run(check, inside))
    return Report(checks=tuple(found))


def beside(running: Running, engine: Engine, stages: Stages) -> Future[Report]:
    """The same as a stage of its own, while the caller continues."""

    def act() -> Report:
        with stages.stage("smoke") as stage:
            report = smoke(running, engine, progress=stage)
            stage.failed = not report.passed
            words = [f"{one.name} {one.words}" for one in report.checks]
            stage.message(", ".join(words) or "no checks")
            return report

    return in_thread("smoke", act)


def _run(check: PlannedCheck, inside: Inside) -> Check:
    told = f"DEVENV_SMOKE_EXPECT={check.expect}"
    command = ["devenv-exec", "env", told, "timeout", "-k", "5", str(check.timeout_s), *check.run]
    began = time.monotonic()
    code, out, err = inside(command)
    report = last_object(out)
    said = [line for line in f"{err}\n{out}".splitlines() if line.strip()]
    return Check(
        name=check.name,
        passed=code == 0,
        exit_code=code,
        seconds=round(time.monotonic() - began, 3),
        report=report,
        tail="\n".join(said[-_TAIL_LINES:]),
        expect=check.expect,
    )
