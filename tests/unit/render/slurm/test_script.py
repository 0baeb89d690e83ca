"""A batch script for Slurm, read as sbatch and a shell read it."""

from __future__ import annotations

import dataclasses
import re
import shlex
from typing import Any

import pytest

from devenv.doors.settings.clusters import ClusterSettings
from devenv.errors import UsageError
from devenv.plan.plan import Plan, plan
from devenv.render.kubernetes.words import RUN, Wanted
from devenv.render.slurm.script import render_slurm
from tests.unit.examples import loaded, lock

WANTED = Wanted(
    name="demo", image="registry.example/team/demo@sha256:1", role=RUN, command=("python", "-c", "print('a b')"), parallel=4,
    settings=ClusterSettings(cpu="1500m", memory_limit="2Gi", gpus=2),
)  # fmt: skip


def _plan(**changes: Any) -> Plan:
    return plan(loaded(**changes), lock())


def _text(found: Plan, wanted: Wanted) -> str:
    ((name, data),) = render_slurm(found, wanted).files.items()
    assert name == "slurm/demo.sbatch"
    return data.decode()


def _options(text: str) -> dict[str, str]:
    """Those before the first command, as sbatch(1) says."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first:]), "sbatch reads no option there"
    return dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", text, re.MULTILINE))


def test_sbatch_finds_its_options() -> None:
    options = _options(_text(_plan(gpu={"required": True}), WANTED))
    assert options == {
        "job-name": "devenv-demo", "cpus-per-task": "2", "mem": "2048M", "gpus": "2", "array": "0-3",
        "output": "devenv-demo-%A_%a.out",
    }  # fmt: skip
    single = _options(_text(_plan(), dataclasses.replace(WANTED, parallel=1, settings=ClusterSettings())))
    assert single == {"job-name": "devenv-demo", "cpus-per-task": "1", "mem": "1024M", "output": "devenv-demo-%j.out"}


def test_the_command_is_one_and_gets_its_own_words() -> None:
    text = _text(_plan(gpu={"required": True}), WANTED).replace("\\\n", " ")
    lines = [
        shlex.split(line) for line in text.splitlines() if line.strip().startswith(("apptainer exec", "enroot start"))
    ]
    for words in lines:
        assert words[-4:] == ["/usr/local/lib/devenv/entrypoint", "python", "-c", "print('a b')"]
    apptainer = lines[0]
    assert "--nv" in apptainer
    assert "docker://registry.example/team/demo@sha256:1" in apptainer
    assert "$workspace:/workspace" in apptainer
    assert "'docker://registry.example#team/demo@sha256:1'" in text


def test_what_no_script_can_do() -> None:
    with pytest.raises(UsageError, match="Slurm runs a command"):
        render_slurm(_plan(), dataclasses.replace(WANTED, role="workbench", command=()))
