"""GPUs in real containers on a machine that has nothing: no network, no NVIDIA toolkit, no registry.

    python tools/trials/trial.py --out DIR [--torch FOLDER] [--image NAME]

The image is made of this machine's own root. Containers get GPUs by devenv's own code, boot with the image's real
entrypoint, and compute: the check that `up` makes, then a matrix product in PyTorch where `--torch` names a folder
with a virtual environment that has it. Every mode that the machine offers is tried, with every GPU and with each alone;
a container without a GPU has to fail the check. As root, beside a running Docker Engine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from devenv.checks.gpu import prove  # noqa: E402
from devenv.compat.matrix import read  # noqa: E402
from devenv.container import container as boot  # noqa: E402
from devenv.container import gpu  # noqa: E402
from devenv.container import labels as container_labels  # noqa: E402
from devenv.container import spec as container_spec  # noqa: E402
from devenv.doctor.examine import examine  # noqa: E402
from devenv.doctor.finding import Needs  # noqa: E402
from devenv.doors.dirs import Dirs  # noqa: E402
from devenv.doors.docker.address import endpoint  # noqa: E402
from devenv.doors.docker.engine import LABEL, Engine, connect, labels_json  # noqa: E402
from devenv.doors.docker.values import ContainerSpec, Mount  # noqa: E402
from devenv.doors.machine.engine import ask  # noqa: E402
from devenv.doors.machine.gather import gather  # noqa: E402
from devenv.doors.machine.gpu_usage import usage  # noqa: E402
from devenv.doors.machine.model import Cdi, Machine, to_json  # noqa: E402
from devenv.doors.settings.settings import Settings  # noqa: E402
from devenv.errors import MachineError  # noqa: E402

NAME = "t-gpu-trial"
_INSIDE = "usr/local/lib/devenv"
# Not needed to run Python, and gigabytes of it.
_LEFT_OUT = ("proc", "sys", "dev", "run", "tmp", "opt", "home", "mnt", "root", "boot", "srv", "var/lib/docker",
             "var/cache", "usr/local/nvidia", "usr/local/cuda*", "usr/share", "usr/src", "usr/include",
             "usr/lib/llvm*", "usr/lib/jvm", "usr/lib/gcc", "usr/local/lib/python3*")  # fmt: skip
MATMUL = """
import json, os, sys, time, torch
began = time.monotonic()
torch.backends.cuda.matmul.allow_tf32 = False
results = []
for number in range(torch.cuda.device_count()):
    generator = torch.Generator().manual_seed(7 + number)
    # Whole numbers below 2^24 are exact in float32: the product has one right answer.
    a = torch.randint(-8, 9, (2048, 2048), generator=generator).float()
    b = torch.randint(-8, 9, (2048, 2048), generator=generator).float()
    c = (a.to(f"cuda:{number}") @ b.to(f"cuda:{number}")).cpu()
    right = bool((c == (a.double() @ b.double()).float()).all())
    results.append({"name": torch.cuda.get_device_name(number), "right": right, "sum": float(c.sum())})
print(json.dumps({"torch": torch.__version__, "uid": os.getuid(), "devices": results,
                  "seconds": round(time.monotonic() - began, 2)}))
if len(sys.argv) > 1:
    held = torch.empty(int(sys.argv[1]), dtype=torch.uint8, device="cuda:0")
    torch.cuda.synchronize(); print("held", flush=True); time.sleep(60)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--torch", type=Path)
    parser.add_argument("--image", help="an image with devenv's entrypoint in it, instead of one made of this root")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    engine = connect(endpoint(os.environ, Path.home()))
    home = Path("/tmp/devenv-trial")
    settings = Settings.read(Dirs(cache=home, state=home, config=home))
    began = time.monotonic()
    machine = gather(settings, lambda: ask(lambda: engine.endpoint, lambda: engine))
    say("facts", seconds=round(time.monotonic() - began, 3), driver=machine.nvidia.driver, source=machine.nvidia.source,
        gpus=[(one.index, one.name, one.capability, one.memory_bytes) for one in machine.nvidia.gpus],
        ways=[dataclasses.asdict(one) for one in gpu.ways(machine)])  # fmt: skip
    (options.out / "machine.json").write_text(json.dumps(to_json(machine), indent=1) + "\n")
    findings = examine(machine, None, Needs(), read(), gpus="all")
    say("doctor", findings=[f"{one.level} {one.id}: {one.what}" for one in findings])
    image = options.image or make_image()
    failed = [] if without_gpu(engine, image) else ["a container without a GPU passed the check"]
    choices = ["all", *(str(one.index) for one in machine.nvidia.gpus if len(machine.nvidia.gpus) > 1)]
    for wanted in choices:
        failed += trial(engine, image, machine, wanted, "direct", options.torch)
    spec = write_cdi(machine)
    if machine.engine and machine.engine.cdi_folders:
        nvidia = dataclasses.replace(machine.nvidia, cdi=(spec,))
        failed += trial(engine, image, dataclasses.replace(machine, nvidia=nvidia), choices[-1], "cdi", options.torch)
    say("result", failed=failed)
    return 1 if failed else 0


def say(step: str, **facts: Any) -> None:
    print(json.dumps({"step": step, **facts}), flush=True)


def make_image() -> str:
    """This machine's root with devenv's own files and the user `dev`, as an image."""
    began = time.monotonic()
    extra = Path("/tmp/devenv-trial/extra")
    for path in (ROOT / "templates/image/usr").rglob("*"):
        if path.is_file():
            target = extra / "usr" / path.relative_to(ROOT / "templates/image/usr")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            target.chmod(0o755)
    (extra / "etc/devenv").mkdir(parents=True, exist_ok=True)
    (extra / "etc/devenv/gated").write_text("")
    passwd, group = Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
    keep = "\n".join(line for line in passwd.splitlines() if ":1000:" not in line)
    (extra / "etc/passwd").write_text(f"{keep}\ndev:x:1000:1000:dev:/home/dev:/bin/bash\n")
    keep = "\n".join(line for line in group.splitlines() if ":1000:" not in line)
    (extra / "etc/group").write_text(f"{keep}\ndev:x:1000:\n")
    for folder in ("home/dev", "workspace", "tmp", "proc", "sys", "dev", "run", "opt", "root", "usr/share"):
        (extra / folder).mkdir(parents=True, exist_ok=True)
    excludes = " ".join(f"--exclude='./{one}'" for one in _LEFT_OUT)
    inner = "--exclude=./etc/passwd --exclude=./etc/group"
    entry = f'ENTRYPOINT ["/{_INSIDE}/entrypoint", "sleep", "infinity"]'
    # Files only: docker import refuses a path that comes twice, a folder's too.
    script = (
        f"tar cf /tmp/devenv-trial/root.tar --one-file-system -C / {excludes} {inner} . || [ $? = 1 ]; "
        f"(cd {extra} && find . -type f -o -type d -empty | tar rf /tmp/devenv-trial/root.tar --no-recursion -T -) && "
        f"docker import --change '{entry}' --change 'ENV DEVENV_PRESET=trial PATH=/usr/local/sbin:/usr/local/bin:"
        f"/usr/sbin:/usr/bin:/sbin:/bin' /tmp/devenv-trial/root.tar {NAME}:root && rm /tmp/devenv-trial/root.tar"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    size = subprocess.run(["docker", "image", "inspect", "-f", "{{.Size}}", f"{NAME}:root"], capture_output=True,
                          text=True, check=True).stdout  # fmt: skip
    say("image", seconds=round(time.monotonic() - began, 1), bytes=int(size))
    return f"{NAME}:root"


def container(
    engine: Engine, image: str, given: gpu.Access | None, torch: Path | None
) -> tuple[container_labels.Running, dict[str, float]]:
    """A started container with that access, the way container_spec.decide puts it into a spec."""
    mounts = [Mount(kind="bind", source=str(torch), target=str(torch), read_only=True)] if torch else []
    variables = {"DEVENV_UID": "1234", "DEVENV_GID": "1234", "DEVENV_NAME": NAME}
    spec = ContainerSpec(
        name=f"devenv-{NAME}", image=image, hostname=NAME,
        environment=tuple(sorted({**variables, **dict(given.environment if given else ())}.items())),
        labels=((f"{LABEL}name", NAME), *(((f"{LABEL}gpu", labels_json(gpu.to_json(given))),) if given else ())),
        mounts=(*mounts, *(given.mounts if given else ())), tmpfs=((container_spec.RUNTIME_MOUNT, "rw,exec,nosuid,nodev"),),
        ports=(), shm_size_bytes=1 << 30, device_requests=given.requests if given else (),
        devices=given.nodes if given else (), runtime=given.runtime if given else "",
    )  # fmt: skip
    engine.remove(spec.name)
    times, began = {}, time.monotonic()
    engine.create(spec)
    times["create"] = round(time.monotonic() - began, 3)
    engine.start(spec.name)
    times["start"] = round(time.monotonic() - began, 3)
    running = boot.find(NAME, engine)
    assert running
    return running, times


def without_gpu(engine: Engine, image: str) -> bool:
    running, _ = container(engine, image, None, None)
    code, out, err = engine.exec(running.facts.name, ["devenv-exec", "python3", f"/{_INSIDE}/gpu-check"], user="root")
    say("without a GPU", code=code, said=(out or err).strip()[-300:])
    engine.remove(running.facts.name)
    return code == 1


def trial(engine: Engine, image: str, machine: Machine, wanted: str, mode: str, torch: Path | None) -> list[str]:
    """One container with those GPUs; returns what went wrong."""
    given = gpu.access(machine, wanted, mode)
    running, times = container(engine, image, given, torch)
    name, failed = running.facts.name, []
    try:
        proof = prove(running, engine)
        say("proof", gpus=wanted, mode=mode, mounts=len(given.mounts), nodes=given.nodes, times=times,
            wall_s=proof.wall_s, inside_s=proof.seconds, cuda=proof.cuda, devices=proof.devices)  # fmt: skip
        again = prove(running, engine)
        say("proof again", wall_s=again.wall_s, inside_s=again.seconds)
    except MachineError as error:
        say("proof", gpus=wanted, mode=mode, error=error.message, detail=error.detail,
            log=engine.container_log(name))  # fmt: skip
        return [f"{mode} {wanted}: {error.message}"]
    smi = engine.exec(name, ["devenv-exec", "nvidia-smi", "-L"], user="root")
    say("nvidia-smi", code=smi[0], said=(smi[1] or smi[2]).strip())
    cache = engine.exec(name, ["sh", "-c", "ldconfig -p | grep -c -E 'libcuda.so.1|libnvidia-ml'"], user="root")
    say("loader's cache", lines=cache[1].strip())
    if torch:
        python = next(str(one) for one in (torch / ".venv/bin/python3", torch / "bin/python3") if one.exists())
        for how, command in (("devenv-exec", ["devenv-exec"]), ("env -i", ["env", "-i"])):
            code, out, err = engine.exec(name, [*command, python, "-c", MATMUL], user="root")
            told = json.loads(out) if code == 0 else {}
            right = [one["right"] for one in told.get("devices", ())]
            say("matrix product", gpus=wanted, mode=mode, how=how, code=code, **told, error=err[-800:] if code else "")
            if len(right) != len(given.devices) or not all(right):
                failed.append(f"{mode} {wanted} {how}: PyTorch computed {right} on {len(given.devices)} GPUs")
        failed += held(engine, name, python, given)
    engine.remove(name)
    return failed


def held(engine: Engine, name: str, python: str, given: gpu.Access) -> list[str]:
    """`status`: 2 GiB that a process inside holds are seen as the environment's."""
    subprocess.run(["docker", "exec", "-d", name, "devenv-exec", python, "-c", MATMUL, str(2 << 30)], check=True)
    best = 0
    for _ in range(60):
        time.sleep(0.5)
        seen = usage([one.uuid for one in given.devices], engine.pids(name))
        best = max([best, *(one.own_bytes or 0 for one in seen)])
        if best > 2 << 30:
            say("status", own_bytes=best, seen=[dataclasses.asdict(one) for one in seen])
            return []
    say("status", own_bytes=best)
    return [f"status saw {best} bytes of the environment's"]


def write_cdi(machine: Machine) -> Cdi:
    """A CDI spec as NVIDIA's toolkit would generate one, from what the direct mode found."""

    def edits(given: gpu.Access, nodes: tuple[str, ...]) -> dict[str, Any]:
        return {"deviceNodes": [{"path": one} for one in given.nodes if one in nodes]}

    every = gpu.access(machine, "all", "direct")
    own = tuple(f"/dev/nvidia{one.minor}" for one in machine.nvidia.gpus)
    devices = [
        {"name": str(one.index), "containerEdits": edits(every, (f"/dev/nvidia{one.minor}",))}
        for one in machine.nvidia.gpus
    ]
    devices.append({"name": "all", "containerEdits": edits(every, own)})
    spec = {
        "cdiVersion": "0.6.0",
        "kind": "nvidia.com/gpu",
        "devices": devices,
        "containerEdits": {
            "deviceNodes": [{"path": one} for one in every.nodes if one not in own],
            "mounts": [
                {"hostPath": one.source, "containerPath": one.target, "options": ["ro", "nosuid", "nodev", "bind"]}
                for one in every.mounts
            ],
        },
    }
    Path("/etc/cdi").mkdir(exist_ok=True)
    Path("/etc/cdi/nvidia.yaml").write_text(json.dumps(spec))
    return Cdi(path="/etc/cdi/nvidia.yaml", devices=tuple(str(one["name"]) for one in devices))


if __name__ == "__main__":
    sys.exit(main())
