"""Models of a hub on vLLM, as `devenv init vllm --model` writes them, on a GPU machine without a network.

    python tools/trials/model_trial.py make IMAGE OUT                        where there is a network: projects and weights
    python tools/trials/model_trial.py run --torch FOLDER --root ROOT OUT    on the GPU machine: `devenv up` of each

IMAGE is the built preset `vllm`; `make` has tiny checkpoints made in it, serves them on loopback, and runs `devenv init`
and `devenv lock` on them. ROOT is what `vllm_trial.py pack` wrote of that image, unpacked. The engine of such a machine
gives containers no network: the projects lose the port that `up` would wait for, and the smoke test, which asks inside the
container, waits alone. As root, beside a running Docker Engine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.trials import ocr_trial, vllm_trial  # noqa: E402
from tools.trials.ocr_trial import say  # noqa: E402

KINDS = {"qwen2": "Qwen2", "gpt2": "GPT-2", "qwen2_vl": "Qwen2-VL"}
ASK = """\
import http.client, json, sys
told = {}
for path, body in (("/health", None), ("/v1/models", None), ("/v1/completions", {"model": sys.argv[1], "prompt": "A lock",
                                                                                "max_tokens": 8})):
    connection = http.client.HTTPConnection("127.0.0.1", 8601, timeout=120)
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None,
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    told[path] = [answer.status, answer.read(2000).decode()]
print(json.dumps(told))
"""


def make(options: argparse.Namespace) -> None:
    """A project and a checkpoint for each architecture, below OUT."""
    from tests.integration.hub import Hub

    for kind in KINDS:
        folder = options.out / kind
        weights, project = folder / "weights", folder / f"t-model-{kind.replace('_', '-')}"
        for path in (weights, project):
            path.mkdir(parents=True)
        weights.chmod(0o777)
        subprocess.run(
            ["docker", "run", "--rm", "--network", "none", "-v", f"{weights}:/made", "-e", "HOME=/tmp",
             "-v", f"{ROOT}/tests/integration/tinycheckpoints.py:/script.py:ro",
             "--entrypoint", "/opt/venv/bin/python", options.image, "/script.py", kind, "/made"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        files: dict[str, bytes | Path] = {path.name: path for path in sorted(weights.iterdir())}
        with Hub(files, lfs_bytes=10_000) as hub:
            env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "PYTHONPATH": str(ROOT)}
            model = f"acme/Tiny-{KINDS[kind]}"
            hub.id = model
            for command in (("init", "vllm", "--model", model), ("lock",)):
                done = subprocess.run(
                    [sys.executable, "-m", "devenv", *command], cwd=project, env=env, check=False, text=True,
                    capture_output=True,
                )  # fmt: skip
                say(f"{kind} {command[0]}", code=done.returncode, said=done.stderr[-1500:])
                if done.returncode:
                    raise SystemExit(1)
                if command[0] == "init":
                    without_network(project / "devenv.yaml")


def without_network(file: Path) -> None:
    """Take what needs a network out of a project that `init --model` wrote."""
    text = re.sub(r"^    (port|listen|url|health): .*\n", "", file.read_text(), flags=re.M)
    file.write_text(text + "code_server: null\njupyter: null\n")


def run(options: argparse.Namespace) -> None:
    """Bring every project up, twice (the second finds compile caches), and once more as the server alone."""
    began = time.monotonic()
    taken, image = vllm_trial.import_base(options.root, options.torch)
    say("base image", seconds=round(time.monotonic() - began, 1), id=image, libraries=taken)
    for kind in options.kinds or KINDS:
        folder: Path = options.out / kind
        (project,) = folder.glob("t-model-*")
        preset = project / "devenv.yaml"
        say("image", kind=kind, reference=vllm_trial.own_layer(preset, folder / "context"))
        done = ocr_trial.devenv("weights", "import", str(folder / "weights"), str(preset))
        say("weights import", kind=kind, code=done.returncode, said=done.stderr[-600:])
        for row in started(project):
            say("up", kind=kind, **row)


def started(project: Path) -> Iterator[dict[str, Any]]:
    """What `up` says of a project, and what its server answers inside."""
    for how in ((), (), ("--role", "serve")):
        began = time.monotonic()
        done = ocr_trial.devenv("up", str(project / "devenv.yaml"), *how, "--json")
        try:
            told = json.loads(done.stdout)
        except ValueError:
            told = {}
        answers = subprocess.run(
            ["docker", "exec", "-u", "dev", f"devenv-{project.name}", "devenv-exec", "python", "-c", ASK,
             f"acme/Tiny-{KINDS[project.parent.name]}"], capture_output=True, text=True, check=False,
        )  # fmt: skip
        logs = subprocess.run(
            ["docker", "logs", "--tail", "40", f"devenv-{project.name}"], capture_output=True, text=True, check=False
        )
        yield {
            "how": " ".join(how), "seconds": round(time.monotonic() - began, 1), "code": done.returncode,
            "said": done.stderr[-1500:], "stages": told.get("stages"), "gpu": told.get("gpu"),
            "smoke": told.get("smoke"), "answers": answers.stdout[-1500:] or answers.stderr[-600:],
            "logs": "" if done.returncode == 0 else (logs.stdout + logs.stderr)[-4000:],
        }  # fmt: skip
        ocr_trial.devenv("down", project.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("make")
    one.add_argument("image")
    one.add_argument("out", type=Path)
    one.set_defaults(act=make)
    one = commands.add_parser("run")
    one.add_argument("--torch", type=Path, required=True, help="a virtual environment with PyTorch for CUDA 13.0")
    one.add_argument("--root", type=Path, required=True)
    one.add_argument("out", type=Path)
    one.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}; without one all")
    one.set_defaults(act=run)
    options = parser.parse_args()
    options.act(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
