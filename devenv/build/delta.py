"""An image with one more layer: what a snapshot keeps beside preset and lock.

The layer is a tar as the OCI image specification has it: sorted, with `.wh.` files for what is removed. A build step
applies it, in the image, with no network and with the system's own Python.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from devenv.build import apply_delta
from devenv.build.build import Image, buildx
from devenv.doors.cancellation import Cancellation
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.docker.local_tag import LOCAL
from devenv.doors.terminal.progress import Progress
from devenv.doors.untrusted import from_json
from devenv.errors import BuildError
from devenv.plan.plan import Plan

DELTA_LABEL = f"{LABEL}image.delta"
BELOW_LABEL = f"{LABEL}image.below"
"""The tag of the image without the layer."""
SNAPSHOT_LABEL = f"{LABEL}image.snapshot"
LIST_FILE = "/etc/devenv/delta.json"
"""The paths that the layer changes, in the image."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A layer: `sha256` (hex) of the tar at `path`, and the snapshot that it belongs to."""

    path: Path
    sha256: str
    snapshot: str


def tag(plan: Plan, delta: Delta) -> str:
    """The tag of the plan's image with the layer."""
    return f"{plan.image}-{delta.sha256[:16]}"


def find(plan: Plan, delta: Delta, engine: Engine) -> Image | None:
    """That image, when this engine has it."""
    found = engine.image_id(tag(plan, delta))
    return Image(reference=tag(plan, delta), id=found, cached=True) if found else None


def build(
    plan: Plan, delta: Delta, below: Image, engine: Engine, *, progress: Progress, cancel: Cancellation | None = None
) -> Image:
    """Lay the delta over the image `below`. Raises BuildError, CancelledError."""
    reference = tag(plan, delta)
    with tempfile.TemporaryDirectory(prefix="devenv-delta-") as place, _held(below, engine) as name:
        folder = Path(place)
        (folder / "apply_delta.py").write_bytes(Path(apply_delta.__file__).read_bytes())
        _link(delta.path, folder / "delta.tar")
        (folder / "Dockerfile").write_text(_dockerfile(plan, delta), encoding="utf-8")
        arguments = [
            "--build-context", f"below=docker-image://{name}", "--load", "--tag", reference,
            "--platform", plan.lock.platform,
        ]  # fmt: skip
        steps = buildx(arguments, folder, engine, progress, cancel=cancel)
    built = engine.image_id(reference)
    if built is None:
        raise BuildError(
            f"the build succeeded, but the engine has no image {reference}",
            hint="another program may have removed it: run the command again",
        )
    return Image(reference=reference, id=built, cached=False, steps=steps)


def rows(text: str) -> tuple[tuple[str, str], ...]:
    """LIST_FILE's content: (path, added, changed or removed). Raises ValueError."""
    value = from_json(text)
    if not isinstance(value, list) or not all(isinstance(one, list) and {*one[1:]} <= _KINDS for one in value):
        raise ValueError("it is no list of paths")
    return tuple((str(path), kind) for path, kind in value)


_KINDS = frozenset({"added", "changed", "removed"})


def _dockerfile(plan: Plan, delta: Delta) -> str:
    command = json.dumps(["/usr/bin/python3", "-I", "-S", "-B", "/apply_delta.py", "/delta.tar", "/", LIST_FILE])
    mounts = " ".join(f"--mount=type=bind,source={name},target=/{name}" for name in ("apply_delta.py", "delta.tar"))
    labels = {DELTA_LABEL: delta.sha256, BELOW_LABEL: plan.image, SNAPSHOT_LABEL: delta.snapshot}
    return "\n".join(
        [
            "FROM below",
            "LABEL " + " ".join(f"{key}={json.dumps(value)}" for key, value in labels.items()),
            f"RUN {mounts} {command}",
            "",
        ]
    )


@contextlib.contextmanager
def _held(below: Image, engine: Engine) -> Iterator[str]:
    """The image under a name that no registry is asked for."""
    name = f"{LOCAL}devenv/below:{below.id.removeprefix('sha256:')[:16]}-{os.getpid()}"
    engine.tag(below.id, name)
    try:
        yield name
    finally:
        engine.remove_image(name)


def _link(source: Path, target: Path) -> None:
    """A hard link; a link where the two lie on different file systems cannot be sent to the builder, so a copy."""
    try:
        os.link(source, target)
    except OSError:
        import shutil

        shutil.copyfile(source, target)
