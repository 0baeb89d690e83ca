"""The layers of a registry's image below devenv's own: as the engine saves them, compressed anew."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from devenv.doors.docker.local_tag import LOCAL
from devenv.doors.untrusted import from_json
from devenv.errors import ShareError
from devenv.share.tars import WINDOW_BYTES

if TYPE_CHECKING:
    from devenv.doors.docker.engine import Engine

_CHUNK_BYTES = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MANIFEST = "manifest.json"


def unpacked(reference: str, diff_ids: Sequence[str], engine: Engine, folder: Path) -> Iterator[Path]:
    """The image's layers as tars, lowest first; each is gone when the next is asked for. A registry's own compression
    is undone, because the engine keeps none or another. Raises ShareError for other layers than `diff_ids`, OSError."""
    assert reference.startswith(LOCAL)
    saved = _saved(engine.save(reference), folder)
    if len(saved) != len(diff_ids):
        raise _other(reference)
    for packed, diff_id in zip(saved, diff_ids, strict=True):
        plain = packed.with_name(f"{packed.name}.tar")
        if _decompress(packed, plain) != diff_id.removeprefix("sha256:"):
            raise _other(reference)
        yield plain
        plain.unlink()


def _saved(archive: Iterator[bytes], folder: Path) -> list[Path]:
    """Keep the files of an image archive; those of its layers, in order."""
    kept: dict[str, Path] = {}
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Stream(archive)), mode="r|", bufsize=_CHUNK_BYTES) as members:
            for member in members:
                content = members.extractfile(member) if member.isreg() else None
                if content:
                    kept[member.name] = folder / f"saved-{len(kept)}"
                    with kept[member.name].open("xb") as file:
                        for chunk in iter(partial(content.read, _CHUNK_BYTES), b""):
                            file.write(chunk)
        (told,) = from_json(kept[_MANIFEST].read_bytes())
        return [kept[name] for name in told["Layers"]]
    except (tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise ShareError(f"the engine saves the base image in an unknown form: {error}") from None


def _decompress(packed: Path, plain: Path) -> str:
    """The sha256 (hex) of what is written."""
    digest = hashlib.sha256()
    with packed.open("rb") as file, plain.open("xb") as target:
        start = file.read(len(_ZSTD))
        file.seek(0)
        for chunk in _chunks(file, start):
            digest.update(chunk)
            target.write(chunk)
    packed.unlink()
    return digest.hexdigest()


def _chunks(file: IO[bytes], start: bytes) -> Iterator[bytes]:
    if start == _ZSTD:
        import zstandard

        yield from zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).read_to_iter(file)
        return
    plain = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if start.startswith(_GZIP) else file
    yield from iter(partial(plain.read, _CHUNK_BYTES), b"")


def _other(reference: str) -> ShareError:
    return ShareError(f"the engine saves other layers of {reference} than it names", hint="run the command again")


class _Stream:
    """Chunks as a file that is read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int) -> bytes:
        parts, count = [self._left], len(self._left)
        while count < size and (chunk := next(self._chunks, b"")):
            parts.append(chunk)
            count += len(chunk)
        whole = b"".join(parts)
        self._left = whole[size:]
        return whole[:size]
