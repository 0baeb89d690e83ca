"""The layers of a registry's image below devenv's own: as the engine saves them, compressed anew."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from devenv.doors.docker.local_tag import LOCAL
from devenv.doors.untrusted import from_json
from devenv.errors import ShareError
from devenv.share.tars import decompressed, written

if TYPE_CHECKING:
    from devenv.doors.docker.engine import Engine

_CHUNK_BYTES = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MANIFEST = "manifest.json"


def unpacked(reference: str, diff_ids: Sequence[str], engine: Engine, folder: Path) -> Iterator[Path]:
    """The image's layers as tars, lowest first; each is gone when the next is asked for. A registry's own compression
    is undone, because the engine keeps none or another. Raises ShareError for other layers than `diff_ids`, OSError."""
    assert reference.startswith(LOCAL)
    saved = _saved(reference, engine, folder)
    if len(saved) != len(diff_ids):
        raise _other(reference)
    for packed, diff_id in zip(saved, diff_ids, strict=True):
        plain = packed.with_name(f"{packed.name}.tar")
        if written(_chunks(packed), plain) != diff_id.removeprefix("sha256:"):
            raise _other(reference)
        packed.unlink()
        yield plain
        plain.unlink()


def _saved(reference: str, engine: Engine, folder: Path) -> list[Path]:
    """Keep the files of the saved image; those of its layers, in order."""
    kept: dict[str, Path] = {}
    with engine.saved(reference) as members:
        for member, content in members:
            if content:
                kept[member.name] = folder / f"saved-{len(kept)}"
                with kept[member.name].open("xb") as file:
                    shutil.copyfileobj(content, file, _CHUNK_BYTES)
    try:
        (told,) = from_json(kept[_MANIFEST].read_bytes())
        return [kept[name] for name in told["Layers"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ShareError(f"the engine saves the base image in an unknown form: {error}") from None


def _chunks(packed: Path) -> Iterator[bytes]:
    """What a layer's file holds, in any form that engines save."""
    with packed.open("rb") as file:
        start = file.read(len(_ZSTD))
        file.seek(0)
        if start == _ZSTD:
            yield from decompressed(file)
            return
        plain = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if start.startswith(_GZIP) else file
        yield from iter(partial(plain.read, _CHUNK_BYTES), b"")


def _other(reference: str) -> ShareError:
    return ShareError(f"the engine saves other layers of {reference} than it names", hint="run the command again")
