"""The check that a container has its GPUs: it computes on each of them, with nothing but the driver."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from devenv.container.labels import Running
from devenv.doors.docker.engine import Engine
from devenv.doors.terminal.stages import Stages
from devenv.doors.thread import in_thread
from devenv.doors.untrusted import last_object
from devenv.errors import MachineError

if TYPE_CHECKING:
    from concurrent.futures import Future

_TIMEOUT_S = 60
_MOST_S = 3600
_PROGRAM = "/usr/local/lib/devenv/gpu-check"
COMMAND = ("devenv-exec", "timeout", "-k", "5", str(_TIMEOUT_S), "python3", "-I", "-S", _PROGRAM)
"""The check, run inside."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The check's result: `devices` as it found them; `seconds` of the check itself, `wall_s` with the exec."""

    passed: bool
    problem: str
    seconds: float
    wall_s: float
    cuda: str
    devices: tuple[Mapping[str, Any], ...]


def prove(running: Running, engine: Engine) -> Proof:
    """Let the container compute on its GPUs. Raises MachineError when it cannot: never a silent fallback to the CPU."""
    assert running.gpu is not None
    began = time.monotonic()
    code, out, err = engine.exec(running.facts.name, [*COMMAND], user="root")
    proof = read(out, err, code, wall_s=round(time.monotonic() - began, 3))
    expected = {one.uuid for one in running.gpu.devices if not one.is_part}
    seen = {str(one.get("uuid")) for one in proof.devices}
    problem = proof.problem
    if proof.passed and expected and seen != expected:
        problem = f"it sees {', '.join(sorted(seen))}, but was given {', '.join(sorted(expected))}"
    if problem or not proof.passed:
        raise MachineError(
            f"the container got its GPU with mode '{running.gpu.mode}', but cannot compute on it: {problem}",
            detail=err.strip() or None,
            hint=f"see what this machine offers: devenv doctor; try another mode: devenv up --gpu-mode …; look inside: "
            f"devenv exec {running.name} -- python3 {_PROGRAM}",
        )
    return proof


def beside(running: Running, engine: Engine, stages: Stages) -> Future[Proof]:
    """The same as a stage of its own, while the caller continues."""

    def act() -> Proof:
        with stages.stage("gpu") as stage:
            proof = prove(running, engine)
            stage.message(f"computed on {', '.join(str(one.get('name')) for one in proof.devices)}")
            return proof

    return in_thread("gpu", act)


def read(out: str, err: str, code: int, *, wall_s: float = 0.0) -> Proof:
    """The check's JSON; any other output is a failure that carries that output."""
    told = last_object(out)
    if not told:
        said = (err.strip() or out.strip() or "nothing").splitlines()[-1]
        told = {"passed": False, "problem": f"the check ended with status {code} and printed: {said}"}
    seconds, devices = told.get("seconds"), told.get("devices")
    return Proof(
        passed=bool(told.get("passed")) and code == 0,
        problem=str(told.get("problem") or ""),
        seconds=float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < _MOST_S else 0.0,
        wall_s=wall_s,
        cuda=str(told.get("cuda") or ""),
        devices=tuple(one for one in (devices if isinstance(devices, list) else ()) if isinstance(one, dict)),
    )
