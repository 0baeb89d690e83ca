"""An image with one more layer: what a snapshot keeps beside preset and lock.

The layer is a tar as the OCI image specification has it: sorted, with `.wh.` files for what is removed. A build step
applies it, in the image, with no network and with the system's own Python.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from devenv.build import apply_delta, own_images
from devenv.build.image import Image
from devenv.doors import files
from devenv.doors.cancellation import Cancellation
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.docker.local_tag import BELOW_TAG
from devenv.doors.terminal.progress import Progress
from devenv.errors import BuildError, ShareError
from devenv.plan.plan import Plan

DELTA_LABEL = f"{LABEL}image.delta"
BELOW_LABEL = f"{LABEL}image.below"
"""The tag of the image without the layer."""
SNAPSHOT_LABEL = f"{LABEL}image.snapshot"
LIST_FILE = "/etc/devenv/delta.txt"
"""The paths that the layer changes, in the image: a line `added|changed|removed "PATH"` each, the path in JSON."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A layer: `sha256` (hex) of the tar at `path`, and the snapshot that it belongs to. `bring` downloads one that is
    not here yet."""

    path: Path
    sha256: str
    snapshot: str
    bring: Callable[[Progress], None] | None = None


def tag(plan: Plan, delta: Delta) -> str:
    """The tag of the plan's image with the layer."""
    return f"{plan.image}-{delta.sha256[:16]}"


def find(plan: Plan, delta: Delta, engine: Engine) -> Image | None:
    """That image, when this engine has it."""
    found = engine.image_id(tag(plan, delta))
    return Image(reference=tag(plan, delta), id=found, cached=True) if found else None


def build(
    plan: Plan, delta: Delta, below: Image, engine: Engine, *, own: Path, progress: Progress,
    cancel: Cancellation | None = None, reference: str = "",
) -> Image:  # fmt: skip
    """Lay the delta over the image `below`; the tags it makes are remembered in `own` (see `own_images`). `reference`:
    the tag, by default that of the plan. Raises ShareError for a damaged layer, BuildError, CancelledError."""
    from devenv.build.build import buildx  # imported only here, because a warm start builds nothing

    reference = reference or tag(plan, delta)
    if delta.bring:
        delta.bring(progress)
    _check(delta)
    own_images.keep(own, [reference])
    with (
        tempfile.TemporaryDirectory(prefix="devenv-delta-") as place,
        own_images.held(below.id, BELOW_TAG, engine, own) as name,
    ):
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
    if not text:
        raise ValueError("it is empty or missing")
    return tuple(_row(line) for line in text.splitlines())


def listed(image: str, engine: Engine) -> tuple[tuple[str, str], ...]:
    """The rows that an image has there. Raises EngineError, ValueError."""
    with engine.laid_open(image) as made:
        return rows(engine.read_file(made, LIST_FILE))


def _row(line: str) -> tuple[str, str]:
    kind, _, text = line.partition(" ")
    path = json.loads(text) if text.startswith('"') else None
    if kind not in _KINDS or not isinstance(path, str) or not path.startswith("/"):
        raise ValueError("it is no list of paths")
    return path, kind


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


def _check(delta: Delta) -> None:
    try:
        is_whole = files.sha256(delta.path) == delta.sha256
    except OSError as error:
        why = files.reason(error)
    else:
        why = "" if is_whole else "its content is not what the snapshot recorded"
    if why:
        raise ShareError(
            f"the layer of the snapshot {delta.snapshot} cannot be used: {why}", where=str(delta.path),
            hint=f"the snapshot is damaged; remove it: devenv snapshots rm {delta.snapshot}",
        )  # fmt: skip


def _link(source: Path, target: Path) -> None:
    """A hard link; a link where the two lie on different file systems cannot be sent to the builder, so a copy."""
    try:
        os.link(source, target)
    except OSError:
        import shutil

        shutil.copyfile(source, target)
