"""`devenv up` of DeepSeek-OCR on vLLM, as the preset `deepseek-ocr` has it, on a GPU machine without a network.

    python tests/gpu/vllm_trial.py pack IMAGE OUT                         where the preset was built: its files, in pieces
    python tests/gpu/vllm_trial.py prepare --torch FOLDER --root R WORK   on the GPU machine: image and weights
    python tests/gpu/vllm_trial.py run WORK                               `devenv up`, cold and warm, three times each

What can be carried to such a machine is little, so `pack` leaves out NVIDIA's mathematical libraries, which `prepare`
takes from the machine's own PyTorch for CUDA 13.0, and packages that this model does not use. All other bytes are the
image's: Debian, Python, PyTorch, Triton, vLLM, code-server, JupyterLab. The layer of devenv's own files is made anew on
the machine, for the weights that are made there: random, at the published names, shapes and sizes (fullmodel.py). As
root, beside a running Docker Engine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.gpu import ocr_trial  # noqa: E402
from tests.gpu.ocr_trial import REVISION, say  # noqa: E402

NAME = "t-vllm"
BASE = "t-vllm-base:1"
PRESET = f"""\
extends: deepseek-ocr
name: {NAME}
model:
  huggingface:
    revision: {REVISION}
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
UNUSED = ("tokenspeed_triton", "tilelang", "z3", "PyNvVideoCodec", "nvidia_cutlass_dsl/cu12",
          "nvidia_cutlass_dsl/dsl_packages/cutlass/_mlir/_mlir_libs/_cutlass_ir.cu12.*")  # fmt: skip
PIECE = "59M"


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
                 *(one for name in UNUSED for one in site.glob(name))]:  # fmt: skip
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    archive = subprocess.Popen(["tar", "c", "--sort=name", "-C", str(root), "."], stdout=subprocess.PIPE)
    packed = subprocess.Popen(["zstd", "-13", "-T0", "--long=27"], stdin=archive.stdout, stdout=subprocess.PIPE)
    prefix = str(options.out / "piece-")
    subprocess.run(["split", "-b", PIECE, "-d", "-a", "2", "-", prefix], stdin=packed.stdout, check=True)


def prepare(options: argparse.Namespace) -> None:
    """Image and weights at the same time; then the lock with these weights, which are put in the store."""
    work: Path = options.work
    weights = work / "DeepSeek-OCR"
    work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    filling = subprocess.Popen(
        [options.torch / "bin/python3", ROOT / "tests/gpu/fullmodel.py", weights], stdout=subprocess.PIPE, text=True
    )
    taken = complete_libraries(options.root / SITE / "nvidia", next(options.torch.glob("lib/python3*/site-packages")))
    shutil.rmtree(options.root / "etc/devenv")  # made anew below
    tar = subprocess.Popen(["tar", "c", "-C", str(options.root), "."], stdout=subprocess.PIPE)
    image = subprocess.run(
        ["docker", "import", "-", BASE], stdin=tar.stdout, capture_output=True, text=True, check=True
    )
    say("base image", seconds=round(time.monotonic() - began, 1), id=image.stdout.strip(), libraries=taken)
    told = filling.communicate()[0]
    if filling.returncode:
        raise SystemExit("the weights could not be made")
    say("weights", seconds=round(time.monotonic() - began, 1), **json.loads(told.splitlines()[-1]))
    began = time.monotonic()
    reference = finish(work, weights)
    say("image", seconds=round(time.monotonic() - began, 1), reference=reference)
    began = time.monotonic()
    done = ocr_trial.devenv("weights", "import", str(weights), str(work / "project/preset.yaml"))
    say("weights import", seconds=round(time.monotonic() - began, 1), code=done.returncode, said=done.stderr[-600:])


def complete_libraries(there: Path, site: Path) -> list[str]:
    """Put into the image what `pack` left behind; the names of the packages it came from, with their versions."""
    for path in (site / "nvidia").rglob("*.so*"):
        target = there / path.relative_to(site / "nvidia")
        if target.parent.is_dir() and not target.exists():
            shutil.copyfile(path, target)
    names = ("cublas", "cufft", "curand", "cusolver", "cusparse", "cuda_nvrtc", "cusparselt_cu13", "nvshmem_cu13")
    return sorted(one.stem.removeprefix("nvidia_") for name in names for one in site.glob(f"nvidia_{name}-*.dist-info"))


def finish(work: Path, weights: Path) -> str:
    """Lay devenv's own files on the base image as its Dockerfile does; the name by which `up` finds the result."""
    from devenv.context import assemble
    from devenv.lock.drift import inputs
    from devenv.lock.model import read
    from devenv.plan import plan
    from devenv.preset.load import load
    from devenv.render import render

    project = work / "project"
    project.mkdir(exist_ok=True)
    (project / "preset.yaml").write_text(PRESET)
    loaded = load(project / "preset.yaml")
    old = read(ROOT / "presets/deepseek-ocr/devenv.lock")
    lock = old.model_copy(
        update={"preset": NAME, "inputs": inputs(loaded.preset), "open": None, "model": ocr_trial.locked_model(weights)}
    )
    (project / "devenv.lock").write_text(lock.dump())
    decided = plan(loaded, lock)
    folder = assemble(decided, render(decided), None, work / "context")
    dockerfile = (folder / "Dockerfile").read_text()
    own = dockerfile[dockerfile.index("COPY image/ /") :]
    (folder / "Dockerfile").write_text(f"FROM {BASE}\n{own}")
    subprocess.run(
        ["docker", "buildx", "build", "--network", "none", "--load", "--tag", decided.image, str(folder)],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL if not os.environ.get("SHOW") else None,
    )  # fmt: skip
    return decided.image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("pack")
    one.add_argument("image")
    one.add_argument("out", type=Path)
    one.set_defaults(act=pack)
    one = commands.add_parser("prepare")
    one.add_argument("--torch", type=Path, required=True, help="a virtual environment with PyTorch for CUDA 13.0")
    one.add_argument("--root", type=Path, required=True, help="what `pack` wrote, unpacked")
    one.add_argument("work", type=Path)
    one.set_defaults(act=prepare)
    one = commands.add_parser("run")
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("work", type=Path)
    one.set_defaults(act=lambda options: ocr_trial.rounds(NAME, options.work, options.rounds))
    options = parser.parse_args()
    options.act(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
