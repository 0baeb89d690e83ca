"""A canonical image as the files of a registry: its configuration and its layers, compressed once on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devenv.build.build import name_base
from devenv.doors import files
from devenv.doors.file_lock import hold
from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.untrusted import from_json
from devenv.errors import ShareError
from devenv.share import base_layers
from devenv.share.formats import DIFF_ID, LAYER, TITLE
from devenv.verify import canonical
from devenv.verify.identity import with_layers
from devenv.verify.layer_files import LEVEL
from devenv.verify.rebuild import held

if TYPE_CHECKING:
    from devenv.fetch.store import Store
    from devenv.lock.model import LockedBase
    from devenv.up.session import Session

_LAYERS, _COMPRESSED, _PACKED = "layers", "compressed", "packed"
_MOST_RECORD_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """`config`: the bytes whose digest is the image's identity; `layers` with their files, lowest first."""

    config: bytes
    layers: tuple[tuple[Descriptor, Path], ...]


def pack(reference: str, base: LockedBase, session: Session) -> Packed:
    """The canonical form of an image. An image that was packed before is not read again. Raises ShareError,
    BuildError."""
    engine, store = session.engine(), session.store
    with session.stages.stage("pack") as stage, held(reference, session) as name, _disk(store.root):
        key = _key(engine.image_id(name))
        found = _kept(store, key)
        stage.cached = found is not None
        if found is None:
            with _folder(session) as folder:
                identity, paths = with_layers(name, engine, folder, progress=stage, base=base)
                layers = [_moved(paths[layer.name], layer.diff_id, layer.name, store) for layer in identity.layers]
                below = identity.config["rootfs"]["diff_ids"][: -len(layers) or None] if base.kind == "image" else ()
                layers = [*_below(base, below, folder, session), *layers]
            found = Packed(config=document(identity.config), layers=tuple(layers))
            _keep(store, key, found)
        stage.message(f"{len(found.layers)} layers")
    return found


def _below(
    base: LockedBase, diff_ids: Sequence[str], folder: Path, session: Session
) -> Iterator[tuple[Descriptor, Path]]:
    """The layers of a base image, which are saved only where one of them was not compressed before."""
    engine, store = session.engine(), session.store
    named = [(one, f"base-{number}") for number, one in enumerate(diff_ids)]
    if all(store.kept(_COMPRESSED, one.removeprefix("sha256:")) for one in diff_ids):
        tars: Iterable[Path] = [Path()] * len(named)  # none is read
    else:
        tag = name_base(base, engine)
        assert tag
        tars = base_layers.unpacked(tag, diff_ids, engine, folder)
    for tar, (diff_id, name) in zip(tars, named, strict=True):
        yield pack_layer(tar, diff_id, name, store)


def known_config(reference: str, session: Session) -> bytes | None:
    """The canonical configuration of an image that was packed before."""
    return found.config if (found := _kept(session.store, _key(session.engine().image_id(reference)))) else None


def _moved(packed: Path, diff_id: str, name: str, store: Store) -> tuple[Descriptor, Path]:
    """A layer as the image's own Python wrote it, in the store under the hash of its bytes: an image that lies about a
    `diff_id` spoils no other image's layer."""
    about = _about(packed, diff_id, name)

    def move(target: Path) -> None:
        shutil.move(packed, target)

    return about, store.derive(_LAYERS, about.hex, move)


def pack_layer(tar: Path, diff_id: str, name: str, store: Store) -> tuple[Descriptor, Path]:
    """A compressed layer and its file in the store; made once. One level and one library give the same bytes."""

    def make(target: Path) -> None:
        import zstandard

        # Any number of threads above none gives the same bytes.
        compressor = zstandard.ZstdCompressor(level=LEVEL, threads=os.cpu_count() or 1)
        with tar.open("rb") as plain, target.open("xb") as packed:
            compressor.copy_stream(plain, packed, size=tar.stat().st_size)

    path = store.derive(_COMPRESSED, diff_id.removeprefix("sha256:"), make)
    return _about(path, diff_id, name), path


def _about(path: Path, diff_id: str, name: str) -> Descriptor:
    return Descriptor(
        media_type=LAYER, digest=f"sha256:{files.sha256(path)}", size=path.stat().st_size,
        annotations=((DIFF_ID, diff_id), (TITLE, f"{name}.tar.zst")),
    )  # fmt: skip


def document(value: Mapping[str, Any]) -> bytes:
    """A JSON document in the one form whose bytes depend on its content alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# ---- the record of an image that was packed


def _key(image_id: str | None) -> str:
    return hashlib.sha256(f"{canonical.FORMAT} {LEVEL} {image_id}".encode()).hexdigest()


def _keep(store: Store, key: str, packed: Packed) -> None:
    told = {
        "config": packed.config.decode(),
        "layers": [
            {**dataclasses.asdict(about), "annotations": [*map(list, about.annotations)]} for about, _ in packed.layers
        ],
    }
    store.derive(_PACKED, key, lambda target: files.write_below(target.parent, target.name, document(told)), anew=True)


def _kept(store: Store, key: str) -> Packed | None:
    """What is kept of an image; None where the record or a layer is missing."""
    record = store.kept(_PACKED, key)
    if record is None:
        return None
    told = from_json(files.read(record, most_bytes=_MOST_RECORD_BYTES))
    layers = []
    for row in told["layers"]:
        annotations = tuple((name, value) for name, value in row["annotations"])
        about = Descriptor(
            media_type=row["media_type"], digest=row["digest"], size=row["size"], annotations=annotations
        )  # fmt: skip
        path = store.kept(_LAYERS, about.hex) or store.kept(_COMPRESSED, dict(annotations)[DIFF_ID].partition(":")[2])
        if path is None or path.stat().st_size != about.size:
            return None
        layers.append((about, path))
    return Packed(config=told["config"].encode(), layers=tuple(layers))


@contextlib.contextmanager
def _folder(session: Session) -> Iterator[Path]:
    """A folder for large files. It is always the same, so that the next run removes what a killed one left."""
    folder = session.dirs.cache / "packing"
    with hold(folder.with_suffix(".lock"), session.waiting_for("packs an image"), session.cancel):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ShareError(
            f"cannot pack the image: {files.reason(error)}", where=str(folder),
            hint=files.place_hint(error, "name another folder: XDG_CACHE_HOME"),
        ) from None  # fmt: skip
