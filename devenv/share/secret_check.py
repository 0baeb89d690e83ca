"""Nothing secret leaves: what the lock does not explain of an image is searched before it is shared."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.doors import files
from devenv.errors import ShareError
from devenv.plan.inside import WORKSPACE
from devenv.preset import portable
from devenv.preset.yaml.text import MAX_BYTES
from devenv.secrets.both import FileScanner, scanner_for
from devenv.secrets.finding import Finding, allowed
from devenv.secrets.image_config import image_config
from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import Scanner
from devenv.secrets.search import as_bytes, search
from devenv.share import recipe
from devenv.snapshot.store import Snapshot, Snapshots

if TYPE_CHECKING:
    from devenv.up.session import Session

_CHUNK_BYTES = 1 << 20
_SHOWN = 20


def check(
    image: Mapping[str, Any], folder: Path, snapshot: Snapshot | None, known: KnownValues, session: Session
) -> None:
    """Raise ShareError for what may be secret in all that the lock does not explain: the configuration of the image
    (the engine's facts of it), the preset's own files, a snapshot's layer and volumes."""
    scanner = scanner_for(known, session.dirs.cache)
    found = [*_of_config(image, Scanner(known)), *_of_files(folder, scanner)]
    if snapshot:
        found += _of_snapshot(snapshot, Snapshots(session.dirs.snapshots), scanner)
    refused, _ = allowed(found, snapshot.allowed if snapshot else ())
    if refused:
        lines = [f"{one.path}{f':{one.line}' if one.line else ''}: {one.kind}: {one.reason}" for one in refused]
        more = f"\n… and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise ShareError(
            f"{len(refused)} finding{'s' if refused[1:] else ''} of what may be secret, so nothing leaves",
            detail="\n".join(lines[:_SHOWN]) + more,
            hint="take them out of the preset, its files or the snapshot; give them to the container on each machine",
        )


def _of_config(image: Mapping[str, Any], scanner: Scanner) -> tuple[Finding, ...]:
    own = image["Config"]
    return image_config(
        scanner, env=own.get("Env") or (), cmd=[*(own.get("Entrypoint") or ()), *(own.get("Cmd") or ())],
        labels=own.get("Labels") or {}, history=(),  # the canonical image has a history of its own
    )  # fmt: skip


def _of_files(folder: Path, scanner: FileScanner) -> Iterator[Finding]:
    """In the preset's own files, by the paths that they have in the image."""
    named = portable.carried(files.read_text(folder / recipe.PRESET, most_bytes=MAX_BYTES, inside=folder))
    tops = {name: target for target, name in named.files.items()} | {portable.WORKSPACE: WORKSPACE}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != recipe.LOCK:
            top = next((one for one in tops if name == one or name.startswith(f"{one}/")), None)
            inside = f"/{name}" if top is None else f"{tops[top]}{name.removeprefix(top)}"
            yield from search(scanner, inside, files.chunks(path))


def _of_snapshot(snapshot: Snapshot, kept: Snapshots, scanner: FileScanner) -> Iterator[Finding]:
    layer = kept.delta(snapshot)
    tars: Sequence[tuple[Path, str]] = [
        *([(layer.path, "/")] if layer else []), *((kept.volume(snapshot, mount), mount) for mount in snapshot.volumes)
    ]  # fmt: skip
    for tar, mount in tars:
        with tarfile.open(tar, "r|") as archive:
            for member in archive:
                path = f"{mount.rstrip('/')}/{member.name.removeprefix('./')}"
                kind = "file" if member.isreg() or member.islnk() else "symlink" if member.issym() else "folder"
                content = archive.extractfile(member) if member.isreg() else None
                target = [as_bytes(member.linkname)] if member.issym() else ()
                yield from search(
                    scanner, path, iter(partial(content.read, _CHUNK_BYTES), b"") if content else target, kind
                )
