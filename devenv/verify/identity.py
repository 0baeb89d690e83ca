"""Image to identity: the digest of its content as a canonical image, independent of engine and time.

The identity is the config digest (sha256 of the OCI image configuration) of the image that `canonical.py` describes.
The engine mounts the image into a build step that reads it in place, so nothing is saved, copied or unpacked; the step
is cached by the image's content, so asking again costs nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from devenv.build import build
from devenv.doors import files
from devenv.doors.docker.buildx import csv
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.local_tag import LOCAL
from devenv.doors.http.registry.reference import is_digest
from devenv.doors.terminal.progress import Progress
from devenv.errors import BuildError, DriftError
from devenv.lock.model import LockedBase
from devenv.verify import canonical, layer_files, tar_entry, tree
from devenv.verify.canonical import Layer
from devenv.verify.tar_entry import EPOCH_S, Entry

_CREATED = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH_S))
_MOST_BYTES = 256 << 20
_NO_LOADER = "ENV LD_PRELOAD= LD_LIBRARY_PATH= LD_AUDIT="
# Folders at the top of a step's root that the engine mounts something over, or into.
_COVERED = ("dev", "etc", "proc", "sys")
_PLACE = "/etc/.devenv-read"
"""Where a step has its own files: below a covered folder, so that an image that is read in place does not have them."""
_OUT, _BASE = f"{_PLACE}/out", f"{_PLACE}/base"
_START = f"import sys; sys.path.insert(0, '{_PLACE}/code'); "
_NAME = re.compile("[a-z]+(-[0-9]+)?")
_MAKER = f"devenv canonical {canonical.FORMAT}"
# The part of an image's configuration that decides how it runs (OCI image specification, "config").
_CONFIG = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Healthcheck",
    "Shell", "OnBuild",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An image in canonical form: `digest` (`sha256:…`) is that of `config`.

    Layers lie lowest first; those of a registry image below them are left out.
    """

    reference: str
    digest: str
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]

    def require(self, digest: str, reference: str) -> None:
        """Raise DriftError for another digest; `reference` is the image's name for people."""
        if digest != self.digest:
            raise DriftError(
                f"{reference} is {self.digest}, not {digest}",
                hint="see the differences: devenv verify, without --expect",
            )


def identities(
    references: Sequence[str], engine: Engine, *, reader: str | None = None, progress: Progress, base: LockedBase
) -> tuple[Identity, ...]:
    """The identity of each image, by a tag of `local_tag.py`. `reader` is a trusted image whose Python reads them;
    without one, each reads itself. `base`: their common first layers, left out. Raises BuildError.
    """
    assert reader is None or reader in references
    with tempfile.TemporaryDirectory(prefix="devenv-identity-") as out:
        return _described(references, engine, Path(out), reader=reader, progress=progress, base=base)


def with_layers(
    reference: str, engine: Engine, out: Path, *, progress: Progress, base: LockedBase
) -> tuple[Identity, dict[str, Path]]:
    """The identity of one image, and its canonical layers, compressed, in the folder `out`, by name; what it says of
    them was not checked. Raises BuildError."""
    (found,) = _described([reference], engine, out, reader=None, progress=progress, base=base, keeps=True)
    paths = {layer.name: out / "0" / f"{layer.name}.tar.zst" for layer in found.layers}
    for path in paths.values():  # a link would have a file of this machine taken for a layer
        if path.parent.is_symlink() or not path.is_file() or path.is_symlink():
            raise BuildError(f"{reference} does not describe its layers: {path.name} is no file", hint="build it again")
    return found, paths


def _described(
    references: Sequence[str],
    engine: Engine,
    out: Path,
    *,
    reader: str | None,
    progress: Progress,
    base: LockedBase,
    keeps: bool = False,
) -> tuple[Identity, ...]:
    assert all(reference.startswith(LOCAL) for reference in references)
    below = _below(base, engine)
    with tempfile.TemporaryDirectory(prefix="devenv-identity-") as folder:
        context = Path(folder)
        _code(context / "code")
        readers = [references.index(reader or reference) for reference in references]
        text = _dockerfile(readers, below, layer_files if keeps else canonical)
        (context / "Dockerfile").write_text(text, encoding="utf-8")
        images = [f"image{number}=docker-image://{reference}" for number, reference in enumerate(references)]
        arguments = [part for image in images for part in ("--build-context", image)]
        build.buildx([*arguments, "--output", csv("type=local", f"dest={out}")], context, engine, progress)
        return tuple(
            _identity(reference, out / str(number) / "canonical.json", engine, base, below)
            for number, reference in enumerate(references)
        )


def _code(folder: Path) -> None:
    """The modules that describe an image, as a package of their own."""
    package = folder / "devenv/verify"
    package.mkdir(parents=True)
    for one in (package, package.parent):
        (one / "__init__.py").touch()
    for module in (canonical, layer_files, tar_entry, tree):
        source = Path(str(module.__file__))
        (package / source.name).write_bytes(source.read_bytes())


def _below(base: LockedBase, engine: Engine) -> str | None:
    """The base image by its tag on this engine; a missing one is pulled from its registry."""
    if base.reference is not None and not base.local:
        engine.pulled(base.reference)
    return build.name_base(base, engine)


def _dockerfile(readers: Sequence[int], base: str | None, module: ModuleType) -> str:
    """One step for each image: they run at the same time. BuildKit reads and hashes all that a step mounts, but not its
    root: so an image that reads itself is mounted only where its root is covered, from a stage of its own."""
    lines = [f"FROM {base} AS base"] if base else []
    for number, reader in enumerate(readers):
        if reader == number:
            lines += [f"FROM image{number} AS covered{number}", "WORKDIR /etc"]  # changes nothing
        lines += [f"FROM image{reader} AS read{number}", "USER 0", _NO_LOADER]
        lines += [_run(number, base, module, own=reader == number)]
    copies = [f"COPY --from=read{number} {_OUT} /{number}" for number in range(len(readers))]
    return "\n".join([*lines, "FROM scratch", *copies, ""])


def _run(number: int, base: str | None, module: ModuleType, *, own: bool) -> str:
    """The step in which a module describes an image; `own`: the image that it runs in."""
    image = f"{_PLACE}/image"
    # The system's own interpreter, which the image's variables and packages cannot replace.
    command = json.dumps([
        "/usr/bin/python3", "-I", "-S", "-B", "-c", f"{_START}import {module.__name__} as m; m.main(sys.argv[1:])",
        *(["/", _OUT, "--beside", image] if own else [image, _OUT]), *(["--base", _BASE] if base else []),
    ])  # fmt: skip
    mounts = [
        *([_bind(f"from=covered{number},source=/{name}", f"{image}/{name}") for name in _COVERED] if own
          else [_bind(f"from=image{number}", image)]),
        *([_bind("from=base", _BASE)] if base else []),
        _bind("source=code", f"{_PLACE}/code"),
    ]  # fmt: skip
    return f"RUN {' '.join(mounts)} {command}"


def _bind(source: str, target: str) -> str:
    return f"--mount=type=bind,{source},target={target}"


def _identity(reference: str, told: Path, engine: Engine, base: LockedBase, tag: str | None) -> Identity:
    try:
        rows = json.loads(files.read(told, most_bytes=_MOST_BYTES, inside=told.parent))
        found = tuple(
            Layer(**{**row, "entries": tuple(Entry(*_tuples(fields)) for fields in row["entries"])}) for row in rows
        )
        for layer in found:
            _check(layer)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        why = files.reason(error) if isinstance(error, OSError) else error
        raise BuildError(f"cannot read {reference}: {why}", hint="run again with -v") from None
    facts = engine.image_facts(reference)
    below: list[str] = engine.image_facts(tag)["RootFS"]["Layers"] if tag else []
    name = (base.reference or "").removeprefix(LOCAL)
    config = {
        "architecture": facts["Architecture"],
        "os": facts["Os"],
        "created": _CREATED,
        "config": {name: facts["Config"][name] for name in _CONFIG if facts["Config"].get(name)},
        "rootfs": {"type": "layers", "diff_ids": [*below, *(layer.diff_id for layer in found)]},
        "history": [
            *({"created": _CREATED, "created_by": f"base {name}"} for _ in below),
            *({"created": _CREATED, "created_by": f"{_MAKER}: {layer.name}"} for layer in found),
        ],
    }
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return Identity(reference=reference, digest=digest, config=config, layers=found)


def _check(layer: Layer) -> None:
    """Check the description, because an image that reads itself can write anything. Raises TypeError, ValueError."""
    texts = [layer.name, layer.diff_id]
    numbers = [layer.size_bytes]
    for one in layer.entries:
        texts += [one.path, one.kind, one.target, one.sha256]
        numbers += [one.mode, one.uid, one.gid, one.size_bytes]
    if not all(isinstance(one, str) for one in texts) or not all(isinstance(one, int) for one in numbers):
        raise TypeError("its own Python describes it in another form")
    if not _NAME.fullmatch(layer.name) or not is_digest(layer.diff_id):
        raise ValueError("its own Python names a layer that cannot be")


def _tuples(fields: Sequence[Any]) -> list[Any]:
    return [tuple(one) if isinstance(one, list) else one for one in fields]
