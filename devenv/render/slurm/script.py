"""A batch script for Slurm: one command in the image, run by Apptainer or Enroot as the user who submits it. No cluster
of that kind has run one yet: parsers check it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from types import MappingProxyType

from devenv.errors import UsageError
from devenv.plan.plan import Plan
from devenv.render.devcontainer import MARK
from devenv.render.kubernetes.words import RUN, Wanted
from devenv.render.render import Rendered

FOLDER = "slurm"
_BINARY = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4,
           "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}  # fmt: skip
_SCRIPT = """\
set -eu
# What the image writes lies in a folder of this job's own.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/devenv-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/run" "$scratch/tmp" "$scratch/home" "$scratch/log" "$scratch/data"
export JOB_COMPLETION_INDEX="${SLURM_ARRAY_TASK_ID:-0}"
workspace="${DEVENV_WORKSPACE:-$SLURM_SUBMIT_DIR}"
"""


def render_slurm(plan: Plan, wanted: Wanted) -> Rendered:
    """One file: slurm/NAME.sbatch. Raises UsageError."""
    wanted.check()
    if wanted.role != RUN or not wanted.command:
        raise UsageError("Slurm runs a command", hint="devenv render --target slurm --image REF -- COMMAND…")
    if plan.model or plan.lock.open:
        raise UsageError(
            f"{plan.preset} has a model, and a batch script cannot bring its weights", hint="use a preset without one"
        )
    text = "\n".join([*_head(plan, wanted), "", _SCRIPT, *_run(plan, wanted)]) + "\n"
    files = {f"{FOLDER}/{wanted.name}.sbatch": text.encode()}
    return Rendered(files=MappingProxyType(files), context=MappingProxyType({}), modes=MappingProxyType({}))


def _head(plan: Plan, wanted: Wanted) -> Iterator[str]:
    settings = wanted.settings
    yield "#!/bin/bash"
    yield f"# The environment {wanted.name} for Slurm. Written by '{MARK} --target slurm'."
    yield "# The image has to be in a registry that the nodes reach. DEVENV_WORKSPACE: another folder at /workspace."
    yield f"#SBATCH --job-name=devenv-{wanted.name}"
    yield f"#SBATCH --cpus-per-task={_cpus(settings.cpu)}"
    yield f"#SBATCH --mem={_mebibytes(settings.memory_limit or settings.memory)}M"
    if plan.gpu and settings.gpus:
        yield f"#SBATCH --gpus={settings.gpus}"
    if wanted.parallel > 1:
        yield f"#SBATCH --array=0-{wanted.parallel - 1}"
    yield f"#SBATCH --output=devenv-{wanted.name}-{'%A_%a' if wanted.parallel > 1 else '%j'}.out"


def _run(plan: Plan, wanted: Wanted) -> Iterator[str]:
    image, command = wanted.image or plan.image, shlex.join(("/usr/local/lib/devenv/entrypoint", *wanted.command))
    binds = {
        "$scratch/run": "/run/devenv", "$scratch/tmp": "/tmp", "$scratch/home": "/home/dev",  # noqa: S108
        "$scratch/log": "/var/log/devenv", "$scratch/data": f"/mnt/{wanted.name}", "$workspace": "/workspace",
    }  # fmt: skip
    gpu = ("--nv",) if plan.gpu else ()
    yield "if command -v apptainer > /dev/null; then"
    yield f"    apptainer exec --containall {' '.join(('--no-home', '--pwd /workspace', *gpu))} \\"
    for source, target in binds.items():
        yield f'        --bind "{source}:{target}" \\'
    yield f'        --env DEVENV_NAME={wanted.name} --env JOB_COMPLETION_INDEX="$JOB_COMPLETION_INDEX" \\'
    yield f"        {shlex.quote(f'docker://{image}')} {command}"
    yield "elif command -v enroot > /dev/null; then"
    host, _, path = image.partition("/")
    yield f'    enroot import --output "$scratch/image.sqsh" {shlex.quote(f"docker://{host}#{path}")}'
    mounts = " ".join(f'--mount "{source}:{target}"' for source, target in binds.items())
    yield f"    enroot start {mounts} \\"
    yield f'        --env DEVENV_NAME={wanted.name} --env JOB_COMPLETION_INDEX="$JOB_COMPLETION_INDEX" \\'
    yield f'        "$scratch/image.sqsh" {command}'
    yield "else"
    yield "    echo 'neither apptainer nor enroot is on this node: module avail' >&2"
    yield "    exit 127"
    yield "fi"


def _cpus(quantity: str) -> int:
    """Whole processors: `250m` is one."""
    number = float(quantity.removesuffix("m")) / (1000 if quantity.endswith("m") else 1)
    return max(1, int(number) + (number > int(number)))


def _mebibytes(quantity: str) -> int:
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity)
    assert match
    return max(1, int(float(match[1]) * _BINARY.get(match[2], 1)) >> 20)
