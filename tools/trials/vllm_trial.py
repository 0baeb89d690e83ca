"""DeepSeek-OCR on vLLM at its full size on a GPU machine without a network, as the preset `deepseek-ocr` has it.

    python tools/trials/vllm_trial.py pack IMAGE OUT                          where the preset was built: its files, in pieces
    python tools/trials/vllm_trial.py prepare --torch FOLDER --root R WORK    on the GPU machine: image and weights
    python tools/trials/vllm_trial.py run WORK [STEP...]                      `devenv up`, then what is measured inside

What can be carried to such a machine is little, so `pack` leaves out NVIDIA's mathematical libraries, which `prepare`
takes from the machine's own PyTorch for CUDA 13.0, packages and programs that nothing here uses, and inside CUDA's
libraries the machine code for other GPUs (device_code.py). All other bytes are the image's: Debian, Python, PyTorch,
Triton, vLLM, JupyterLab. The layer of devenv's own files is made anew on the machine, for the weights that are made
there: random, at the published names, shapes and sizes (fullmodel.py). Steps that are done are not done again: their
results lie in WORK/results.json. As root, beside a running Docker Engine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.trials import device_code, ocr_trial  # noqa: E402
from tools.trials.ocr_trial import REVISION, say  # noqa: E402

NAME = "devenv-t-vllm"
BASE = "t-vllm-base:1"
PRESET = """\
extends: {parent}
name: t-vllm
model:
  huggingface:
    revision: {revision}
  modelscope: null
code_server: null # the engine there has no network, so no port that could be waited for
jupyter: null
services:
  lab:
    command: [jupyter, lab, --no-browser, --ip=127.0.0.1, --port=8899]
smoke:
  ocr:
    run: [ocr, smoke, --tokens, "64"]
    expect: plumbing
"""
SITE = "opt/venv/lib/python3.11/site-packages"
NVIDIA = ("cu13/lib/libcublas*", "cu13/lib/libcufft*", "cu13/lib/libcu[rs]*", "cu13/lib/libnvrtc*", "cusparselt/lib/*",
          "nvshmem/lib/*.so*")  # fmt: skip
UNUSED = ("tokenspeed_triton", "tilelang", "z3", "PyNvVideoCodec", "nvidia_cutlass_dsl/cu12", "nvidia/cu13/bin/nvdisasm",
          "nvidia_cutlass_dsl/dsl_packages/cutlass/_mlir/_mlir_libs/_cutlass_ir.cu12.*")  # fmt: skip
PIECE = "54M"


def pack(options: argparse.Namespace) -> None:
    """Write the image's files without what stays behind, as `piece-NN` of one archive."""
    root = options.out / "root"
    root.mkdir(parents=True)
    made = subprocess.run(["docker", "create", options.image], check=True, capture_output=True, text=True)
    container = made.stdout.strip()
    exported = subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE)
    subprocess.run(["tar", "x", "-C", str(root)], stdin=exported.stdout, check=True)
    subprocess.run(["docker", "rm", container], check=True, stdout=subprocess.DEVNULL)
    site = root / SITE
    for path in [*(one for name in NVIDIA for one in (site / "nvidia").glob(name)),
                 *(one for name in UNUSED for one in site.glob(name)), root / "opt/code-server", root / "opt/node"]:  # fmt: skip
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for library in sorted(site.rglob("*.so*")):
        if library.is_file() and not library.is_symlink() and library.stat().st_size > 1 << 16:
            device_code.prune(library, {int(options.capability.replace(".", ""))}, dry=False)
    archive = subprocess.Popen(["tar", "c", "--sort=name", "-C", str(root), "."], stdout=subprocess.PIPE)
    packed = subprocess.Popen(["zstd", "-10", "-T0", "--long=27"], stdin=archive.stdout, stdout=subprocess.PIPE)
    prefix = str(options.out / "piece-")
    subprocess.run(["split", "-b", PIECE, "-d", "-a", "2", "-", prefix], stdin=packed.stdout, check=True)


def prepare(options: argparse.Namespace) -> None:
    """Image and weights at the same time; then the lock with these weights, which are put in the store."""
    work: Path = options.work
    weights = work / "DeepSeek-OCR"
    work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    filling = None
    if not weights.exists():
        filling = subprocess.Popen(
            [options.torch / "bin/python3", ROOT / "tools/trials/fullmodel.py", "make", weights, "--shapes", options.shapes],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    taken, image = import_base(options.root, options.torch)
    say("base image", seconds=round(time.monotonic() - began, 1), id=image, libraries=taken)
    if filling is not None:
        told = filling.communicate()[0]
        if filling.returncode:
            raise SystemExit("the weights could not be made")
        say("weights", seconds=round(time.monotonic() - began, 1), **json.loads(told.splitlines()[-1]))
    began = time.monotonic()
    reference = finish(work, weights, options.preset)
    say("image", seconds=round(time.monotonic() - began, 1), reference=reference)
    began = time.monotonic()
    done = ocr_trial.devenv("weights", "import", str(weights), str(work / "project/preset.yaml"))
    say("weights import", seconds=round(time.monotonic() - began, 1), code=done.returncode, said=done.stderr[-600:])


def import_base(root: Path, torch: Path) -> tuple[list[str], str]:
    """The image BASE of what `pack` wrote; names of the packages that completed it, and the image's id."""
    taken = complete_libraries(root / SITE / "nvidia", next(torch.glob("lib/python3*/site-packages")))
    shutil.rmtree(root / "etc/devenv", ignore_errors=True)  # made again by `own_layer`
    tar = subprocess.Popen(["tar", "c", "-C", str(root), "."], stdout=subprocess.PIPE)
    image = subprocess.run(
        ["docker", "import", "-", BASE], stdin=tar.stdout, capture_output=True, text=True, check=True
    )
    return taken, image.stdout.strip()


def complete_libraries(there: Path, site: Path) -> list[str]:
    """Put into the image what `pack` left behind; the names of the packages it came from, with their versions."""
    for path in (site / "nvidia").rglob("*.so*"):
        target = there / path.relative_to(site / "nvidia")
        if target.parent.is_dir() and not target.exists():
            shutil.copyfile(path, target)
    names = ("cublas", "cufft", "curand", "cusolver", "cusparse", "cuda_nvrtc", "cusparselt_cu13", "nvshmem_cu13")
    return sorted(one.stem.removeprefix("nvidia_") for name in names for one in site.glob(f"nvidia_{name}-*.dist-info"))


def finish(work: Path, weights: Path, parent: str) -> str:
    """The preset of this trial with a lock for these weights, and its image; the name by which `up` finds it."""
    from devenv.lock.drift import inputs
    from devenv.lock.model import read
    from devenv.preset.load import load

    project = work / "project"
    project.mkdir(exist_ok=True)
    (project / "preset.yaml").write_text(PRESET.format(parent=parent, revision=REVISION))
    old = read(ROOT / "presets" / parent / "devenv.lock")
    lock = old.model_copy(
        update={
            "preset": "t-vllm",
            "inputs": inputs(load(project / "preset.yaml").preset),
            "open": None,
            "model": ocr_trial.locked_model(weights),
        }
    )
    (project / "devenv.lock").write_text(lock.dump())
    return own_layer(project / "preset.yaml", work / "context")


def own_layer(preset: Path, context: Path) -> str:
    """Lay devenv's own files on the base image as the preset's Dockerfile does; the name by which `up` finds the result."""
    from devenv.build.context import assemble, own_files
    from devenv.lock.model import read
    from devenv.plan.plan import plan
    from devenv.preset.load import load
    from devenv.render.render import render

    decided = plan(load(preset), read(preset.with_name("devenv.lock")))
    folder = assemble(decided, render(decided), None, context)
    for name, (own, mode) in own_files(decided):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(own.chunks()))
        path.chmod(mode)
    dockerfile = (folder / "Dockerfile").read_text()
    own = dockerfile[dockerfile.index("COPY image/ /") :]
    (folder / "Dockerfile").write_text(f"FROM {BASE}\n{own}")
    subprocess.run(
        ["docker", "buildx", "build", "--network", "none", "--load", "--tag", decided.image, str(folder)],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL if not os.environ.get("SHOW") else None,
    )  # fmt: skip
    return decided.image


def inside(*command: str, env: tuple[str, ...] = (), check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in the environment as its user."""
    return subprocess.run(
        ["docker", "exec", "-u", "dev", *(part for one in env for part in ("-e", one)), NAME, "devenv-exec", *command],
        capture_output=True, text=True, check=check,
    )  # fmt: skip


def measured(*command: str, env: tuple[str, ...] = ()) -> dict[str, Any]:
    """The output of a measurement inside; the end of its stderr where it failed."""
    done = inside("python", "/tmp/inside.py", *command, env=env, check=False)
    try:
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"failed": done.returncode, "stderr": done.stderr[-3000:]}
    return told | {"stderr": done.stderr[-300:]}


def start(work: Path) -> Any:
    """`devenv up`: first, cold and warm."""
    ocr_trial.rounds("t-vllm", work, 3)
    return json.loads((work / "rows.json").read_text())


def serve(_: Path) -> Any:
    """`vllm serve` by the model's recipe, to its first answer; the second finds its compile caches."""
    return [measured("serve", "/tmp/pages") for _ in range(2)]


def throughput(_: Path) -> Any:
    told: dict[str, Any] = {
        "theirs": measured("theirs", "/tmp/pages", "256"),
        "ours": measured("ours", "/tmp/pages", "256"),
    }
    for name, command in (("batch", ("batch", "/tmp/pages")), ("pdf", ("pdf", "/tmp/pages.pdf"))):
        began = time.monotonic()
        done = inside("ocr", *command, "-o", f"/tmp/out-{name}", "--max-tokens", "256", "--json", check=False)
        try:
            summary = {key: value for key, value in json.loads(done.stdout).items() if not isinstance(value, list)}
        except ValueError:
            summary = {"failed": done.returncode, "stderr": done.stderr[-2000:]}
        told[name] = {"whole": time.monotonic() - began, **summary}
    return told


def used_mb() -> float:
    """Of the first GPU."""
    told = subprocess.run(
        ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"], capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return float(told.stdout)


def freed_after(act: Callable[[], object], limit_s: float = 30) -> float | None:
    """Seconds until the GPU is empty after something was done."""
    act()
    began = time.monotonic()
    while used_mb() > 1500:
        if time.monotonic() - began > limit_s:
            return None
        time.sleep(0.1)
    return round(time.monotonic() - began, 2)


def pids(pattern: str) -> list[int]:
    """The environment's processes, by their command lines, as the host numbers them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if pattern in line and "docker" not in line and "vllm_trial" not in line and "devenv-exec" not in line:
            found.append(int(path.parent.name))
    return sorted(found)


def kills(_: Path) -> Any:
    """How soon the GPU is empty after what uses it was killed."""
    told: dict[str, Any] = {"before_mb": used_mb()}
    commands = {
        "batch": ("ocr", "batch", "/tmp/pages", "-o", "/tmp/out-kill", "--max-tokens", "4096"),
        "image": (
            "ocr",
            "image",
            "/tmp/pages/000.png",
            "-o",
            "/tmp/out-kill",
            "--max-tokens",
            "8000",
            "--guard",
            "off",
        ),
        "serve": ("ocr", "serve", "--port", "8300"),
    }
    for name, command in commands.items():
        for signals in (signal.SIGKILL,):
            client = subprocess.Popen(
                ["docker", "exec", "-u", "dev", NAME, "devenv-exec", *command], stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )  # fmt: skip
            began = time.monotonic()
            while used_mb() < 9000 and client.poll() is None and time.monotonic() - began < 90:
                time.sleep(0.2)
            time.sleep(6)
            needle = "vllm serve" if name == "serve" else f"ocr {name}"
            found = pids(needle)
            held = used_mb()
            seconds = freed_after(lambda: [os.kill(pid, signals) for pid in found[:1]])  # noqa: B023
            left = pids("VLLM::") + pids(needle)
            told[f"{name} {signals.name}"] = {
                "killed": len(found),
                "held_mb": held,
                "freed_after_s": seconds,
                "left": left,
            }
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            client.kill()
            client.wait()
            freed_after(lambda: None)
    return told


def verify(_: Path) -> Any:
    """What every OCR preset promises, as plumbing, on vLLM and on Transformers."""
    told = {}
    for backend, more in (
        ("vllm", ()),
        ("transformers", ("OCR_DEVICE=cuda", "PYTHONPATH=/tmp/tf:/usr/local/lib/devenv-ocr")),
    ):
        began = time.monotonic()
        done = subprocess.run(
            ["docker", "exec", "-i", "-u", "dev", "-e", "OCR_VERIFY=plumbing", "-e", f"OCR_BACKEND={backend}",
             *(part for one in more for part in ("-e", one)), NAME, "devenv-exec", "bash", "-s"],
            input=(ROOT / "presets/ocr/verify").read_text(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        told[backend] = {"code": done.returncode, "seconds": time.monotonic() - began, "stderr": done.stderr[-1500:]}
    return told


def same(_: Path) -> Any:
    """Pages read together and alone; then in vLLM's batch-invariant mode."""
    return [measured("same", "/tmp/pages", "128", env=env) for env in ((), ("VLLM_BATCH_INVARIANT=1",))]


def text(_: Path) -> Any:
    """A text model on vLLM's defaults, with top-p."""
    return measured("text", "/tmp/text-model", env=("VLLM_USE_DEEP_GEMM=1",))


def full(_: Path) -> Any:
    """A batch whose GPU is filled by another program in the middle."""
    client = subprocess.Popen(
        ["docker", "exec", "-u", "dev", NAME, "devenv-exec", "ocr", "batch", "/tmp/pages", "-o", "/tmp/out-full",
         "--max-tokens", "1500", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    began = time.monotonic()
    while used_mb() < 30_000 and client.poll() is None and time.monotonic() - began < 90:
        time.sleep(0.1)
    filling = subprocess.Popen(
        ["docker", "exec", "-u", "dev", NAME, "devenv-exec", "python", "/tmp/inside.py", "fill", "60"]
    )
    try:
        out, err = client.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        for pid in pids("ocr batch"):
            os.kill(pid, signal.SIGKILL)
        out, err = client.communicate()
    filling.kill()
    for pid in pids("inside.py fill"):
        os.kill(pid, signal.SIGKILL)
    return {
        "code": client.returncode,
        "stdout": out[-1500:],
        "stderr": err[-4000:],
        "seconds": time.monotonic() - began,
    }


def pair(work: Path) -> Any:
    """On two GPUs: two environments with one each at the same time, then one with both."""
    preset = str(work / "project/preset.yaml")
    ocr_trial.devenv("down", "t-vllm")
    began = time.monotonic()
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "devenv", "up", preset, "--name", f"t-vllm-{gpu}", "--gpus", str(gpu), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for gpu in (0, 1)
    ]  # fmt: skip
    told: dict[str, Any] = {}
    for gpu, process in enumerate(both):
        out, err = process.communicate()
        seen = json.loads(out) if out.strip() else {}
        told[f"environment {gpu}"] = {
            "code": process.returncode, "seconds": time.monotonic() - began, "gpu": seen.get("gpu"),
            "passed": (seen.get("smoke") or {}).get("passed"), "stderr": err[-300:],
        }  # fmt: skip
    for gpu in (0, 1):
        ocr_trial.devenv("down", f"t-vllm-{gpu}")
    done = ocr_trial.devenv("up", preset, "--gpus", "all", "--json")
    told["both"] = {"code": done.returncode, "stderr": done.stderr[-300:]}
    subprocess.run(["docker", "cp", str(ROOT / "tools/trials/inside.py"), f"{NAME}:/tmp/inside.py"], check=True)
    measured("pages", "/tmp/pages", "256")
    for name, env in (("two", ()), ("one", ("CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=0"))):
        began = time.monotonic()
        done = inside(
            "ocr",
            "batch",
            "/tmp/pages",
            "-o",
            f"/tmp/out-{name}",
            "--max-tokens",
            "256",
            "--json",
            env=env,
            check=False,
        )
        summary = {key: value for key, value in json.loads(done.stdout or "{}").items() if not isinstance(value, list)}
        told[name] = {
            "code": done.returncode,
            "whole": time.monotonic() - began,
            **summary,
            "stderr": done.stderr[:1500],
        }
    return told


STEPS: dict[str, Callable[[Path], Any]] = {
    "start": start,
    "serve": serve,
    "throughput": throughput,
    "kills": kills,
    "verify": verify,
    "same": same,
    "text": text,
    "full": full,
}  # and `pair`, which needs two GPUs
MORE = {"pair": pair}  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """The steps that are not done; their results beside the others."""
    work: Path = options.work
    path = work / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in options.steps or STEPS:
        if name in results:
            continue
        if name not in {"start", "pair"}:
            subprocess.run(["docker", "cp", str(ROOT / "tools/trials/inside.py"), f"{NAME}:/tmp/inside.py"], check=True)
            if inside("test", "-f", "/tmp/pages.pdf", check=False).returncode:
                measured("pages", "/tmp/pages", "64")
        began = time.monotonic()
        say("begin", name=name)
        results[name] = (STEPS | MORE)[name](work)
        say(name, seconds=round(time.monotonic() - began, 1), result=results[name])
        path.write_text(json.dumps(results, indent=1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("pack")
    one.add_argument("image")
    one.add_argument("out", type=Path)
    one.add_argument("--capability", default="9.0", help="the compute capability of the machine's GPUs")
    one.set_defaults(act=pack)
    one = commands.add_parser("prepare")
    one.add_argument("--torch", type=Path, required=True, help="a virtual environment with PyTorch for CUDA 13.0")
    one.add_argument("--root", type=Path, required=True, help="what `pack` wrote, unpacked")
    one.add_argument("--shapes", type=Path, required=True, help="what `fullmodel.py shapes` wrote")
    one.add_argument("--preset", default="deepseek-ocr")
    one.add_argument("work", type=Path)
    one.set_defaults(act=prepare)
    one = commands.add_parser("refresh", help="devenv's own files in the image anew, from this checkout")
    one.add_argument("--preset", default="deepseek-ocr")
    one.add_argument("work", type=Path)
    one.set_defaults(act=lambda given: finish(given.work, given.work / "DeepSeek-OCR", given.preset))
    one = commands.add_parser("run")
    one.add_argument("work", type=Path)
    one.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}; without one all")
    one.set_defaults(act=run)
    options = parser.parse_args()
    options.act(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
