"""`devenv up` of DeepSeek-OCR at its full size on a GPU machine that has nothing else: no network, no hub, no registry.

    python tools/trials/ocr_trial.py lock --status FILE --os-release FILE OUT     where there is a network: lock and store
    python tools/trials/ocr_trial.py prepare --torch FOLDER --from OUT WORK       on the GPU machine: image and weights
    python tools/trials/ocr_trial.py run WORK                                     `devenv up`, cold and warm, three times each

The base image is made of the GPU machine's own root with its PyTorch (`docker import`), the weights are random at the
published names, shapes and sizes (fullmodel.py), and all else is the real thing: lock, build without a network, weights
in the store and mounted read-only, the GPU given by devenv, the entrypoint, `ocr smoke`. `lock` needs dpkg's status file
of the GPU machine, because its packages are resolved on top of that. As root, beside a running Docker Engine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from devenv.lock.model import LockedModel

NAME = "t-full"
BASE = "t-full-base:1"
PRESET = """\
name: {name}
base:
  image: {base}
python: "3.12"
gpu: {{}}
apt: [fonts-dejavu-core]
pip: [click==8.5.1, ipykernel==7.4.0, jupyterlab==4.6.6, pillow==13.0.0, pypdfium2==5.15.2, transformers==5.23.0]
model:
  huggingface:
    id: deepseek-ai/DeepSeek-OCR
    revision: {revision}
env:
  OCR_BACKEND: transformers
services:
  lab:
    command: [jupyter, lab, --no-browser, --ip=127.0.0.1, --port=8899]
files:
  /usr/local/bin/ocr: ocr/bin/ocr
  /usr/local/lib/devenv-ocr/ocr: ocr/ocr
  /opt/venv/lib/python3.12/site-packages/torch-of-the-base.pth: torch.pth
smoke:
  ocr:
    run: [ocr, smoke, --tokens, "64"]
    timeout_s: 300
    expect: plumbing
"""
REVISION = "f" * 40  # of no published model: the numbers are random
LEFT_OUT = (
    "proc/*", "sys/*", "dev/*", "run/*", "tmp/*", "home/*", "mnt/*", "root/*", "boot/*", "srv/*", "var/lib/docker",
    "var/lib/containerd", "var/cache/apt/*", "usr/local/nvidia", "usr/local/cuda*", "usr/share/doc/*",
    "usr/share/man/*", "usr/share/locale/*", "usr/src/*", "usr/include/*", "usr/lib/llvm*", "usr/lib/jvm",
    "usr/lib/gcc", "opt/nvidia", "opt/gcc", "usr/local/lib/python3*",
)  # fmt: skip


def say(step: str, **facts: Any) -> None:
    print(json.dumps({"step": step, **facts}), flush=True)


def project(folder: Path, torch: str) -> None:
    """The preset and the files that it names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "preset.yaml").write_text(PRESET.format(name=NAME, base=BASE, revision=REVISION))
    (folder / "torch.pth").write_text(f"{torch}\n")
    shutil.copytree(ROOT / "presets/ocr", folder / "ocr", dirs_exist_ok=True)


def lock(options: argparse.Namespace) -> None:
    """Resolve on top of the GPU machine's packages; the base image's digest and the model come later."""
    from devenv.doors.dirs import Dirs
    from devenv.doors.settings.settings import Settings
    from devenv.doors.terminal.progress import Silent
    from devenv.fetch.fetch import fetch
    from devenv.fetch.store import Store
    from devenv.preset.load import load
    from devenv.resolve.base_image import ImageFacts
    from devenv.resolve.context import Context
    from devenv.resolve.resolver import resolve

    home = Path.home()
    dirs = Dirs(cache=home / ".cache/devenv", state=home / ".local/state/devenv", config=home / ".config/devenv")
    settings, store = Settings.read(dirs), Store(dirs.store)
    project(options.out / "project", "/nowhere")
    facts = ImageFacts(
        digest=f"sha256:{'0' * 64}", os_release=options.os_release.read_text(), dpkg_status=options.status.read_text(),
        local=True,
    )  # fmt: skip
    loaded = load(options.out / "project/preset.yaml")
    made = resolve(
        loaded, Context(settings=settings, store=store, progress=Silent(), image_facts=lambda _: facts), ask_hubs=False
    )
    (options.out / "lock").write_text(made.dump())
    fetch(made, store=store, settings=settings, progress=Silent())
    files = options.out / "files"
    files.mkdir(exist_ok=True)
    for one in made.artifacts():
        if not (files / one.sha256).exists():
            shutil.copyfile(store.path(one.sha256), files / one.sha256)
    say("lock", files=len(made.artifacts()), bytes=sum(one.size for one in made.artifacts()))


def prepare(options: argparse.Namespace) -> None:
    """Base image and weights at the same time; then the lock completed with both, and the weights in the store."""
    options.work.mkdir(parents=True, exist_ok=True)
    weights = options.work / "DeepSeek-OCR"
    site = next(options.torch.glob("lib/python3*/site-packages"))
    began = time.monotonic()
    python = str(options.torch / "bin/python3")
    filling = subprocess.Popen(
        [python, str(ROOT / "tools/trials/fullmodel.py"), str(weights)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(options.transformers)},
    )  # fmt: skip
    # As wheels are in every image of ours: without it each start compiles PyTorch's modules again.
    subprocess.run(
        [python, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", str(site)],
        check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    say("bytecode", seconds=round(time.monotonic() - began, 1))
    excludes = [f"--exclude=./{one}" for one in LEFT_OUT]
    tar = subprocess.Popen(
        ["tar", "c", "--one-file-system", "-C", "/", *excludes, f"--exclude=.{options.work}", "."],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    image = subprocess.Popen(["docker", "import", "-", BASE], stdin=tar.stdout, stdout=subprocess.PIPE, text=True)
    told = filling.communicate()[0]
    if filling.returncode:
        raise SystemExit("the weights could not be made")
    say("weights", seconds=round(time.monotonic() - began, 1), **json.loads(told.splitlines()[-1]))
    digest = image.communicate()[0].strip()
    say("base image", seconds=round(time.monotonic() - began, 1), id=digest)
    project(options.work / "project", str(site))
    complete(options, digest, weights)
    began = time.monotonic()
    done = devenv("weights", "import", str(weights), str(options.work / "project/preset.yaml"))
    say("weights import", seconds=round(time.monotonic() - began, 1), code=done.returncode, said=done.stderr[-600:])


def complete(options: argparse.Namespace, digest: str, weights: Path) -> None:
    """The lock with this machine's base image and these weights, and the store with the lock's files."""
    from devenv.lock.model import read

    old = read(options.source / "lock")
    base = old.base.model_copy(update={"digest": digest})
    new = old.model_copy(update={"base": base, "model": locked_model(weights), "open": None})
    (options.work / "project/devenv.lock").write_text(new.dump())


def locked_model(weights: Path) -> LockedModel:
    """The weights of a folder, as a lock has them."""
    from devenv.lock.model import LockedModel, ModelFile, ModelSource, files_digest
    from devenv.resolve.model import model_name

    rows = []
    for path in sorted(weights.iterdir()):
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        rows.append(ModelFile(path=path.name, size=path.stat().st_size, sha256=sha256))
    source = ModelSource(hub="huggingface", id="deepseek-ai/DeepSeek-OCR", revision=REVISION)
    files = tuple(rows)
    return LockedModel(name=model_name(source.id), digest=files_digest(files), sources=(source,), files=files)


def devenv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devenv", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )


def rounds(name: str, work: Path, number: int, *arguments: str) -> None:
    """The first `up` makes what is missing; then so many with an empty page cache and so many with a full one."""
    preset = str(work / "project/preset.yaml")
    rows = []
    for how in ("first", *("cold",) * number, *("warm",) * number):
        devenv("down", name)
        if how == "cold":
            subprocess.run(["sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches"], check=True)
        began = time.monotonic()
        done = devenv("up", preset, "--json", *arguments)
        seconds = round(time.monotonic() - began, 2)
        try:
            told = json.loads(done.stdout)
        except ValueError:
            say("up", how=how, seconds=seconds, code=done.returncode, error=done.stderr[-3000:])
            if how == "first":
                raise SystemExit(1) from None
            continue
        check = told["smoke"]["checks"][0]
        row = {"how": how, "seconds": seconds, "code": done.returncode, "stages": told["stages"],
               "gpu": told.get("gpu"), "check": check}  # fmt: skip
        rows.append(row)
        say("up", **row)
        if done.returncode:
            say("error", said=done.stderr[-2000:])
    (work / "rows.json").write_text(json.dumps(rows, indent=1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("lock")
    one.add_argument("--status", type=Path, required=True)
    one.add_argument("--os-release", type=Path, required=True)
    one.add_argument("out", type=Path)
    one.set_defaults(act=lock)
    one = commands.add_parser("prepare")
    one.add_argument("--torch", type=Path, required=True, help="a virtual environment with PyTorch")
    one.add_argument("--transformers", type=Path, required=True, help="a folder with Transformers 5.20 or newer")
    one.add_argument("--from", dest="source", type=Path, required=True)
    one.add_argument("work", type=Path)
    one.set_defaults(act=prepare)
    one = commands.add_parser("run")
    one.add_argument("--from", dest="source", type=Path, required=True)
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("work", type=Path)
    one.set_defaults(
        act=lambda options: rounds(NAME, options.work, options.rounds, "--from", str(options.source / "files"))
    )
    options = parser.parse_args()
    options.act(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
