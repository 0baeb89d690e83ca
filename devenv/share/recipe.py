"""What an image is made from, as one small archive: preset, lock, the preset's own files, and what a snapshot adds.

Equal recipes give equal bytes: a sorted PAX tar with one fixed time, compressed with zstd at one level.
"""

from __future__ import annotations

import dataclasses
import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from devenv.doors import files
from devenv.doors.http.registry.manifest import Descriptor
from devenv.doors.http.registry.reference import is_digest
from devenv.doors.untrusted import from_json
from devenv.errors import ShareError
from devenv.share.pack import document
from devenv.share.tars import members

MOST_BYTES = 64 << 20
"""The largest recipe, packed; unpacked it may be four times that."""
PRESET, LOCK, ADDED = "preset.yaml", "devenv.lock", "snapshot.json"
LAYER, VOLUMES = "layer.tar", "volumes"
"""Where a snapshot's parts are put beside an unpacked recipe, after they were checked: no recipe brings them itself."""
_LEVEL = 10
_TIME_S = 1_700_000_000
_FORMAT = 1
_MOST_ADDED_BYTES = 1 << 20
_MOST_PLAIN_BYTES = 4 * MOST_BYTES
_MOUNT = re.compile(r"(?=.{2,200}\Z)(?:/(?!\.\.?(?:/|\Z))[^/\x00-\x1f]+)+")
_NOT_OURS = "it was not pushed by devenv"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A snapshot, beside preset and lock: its layer (`sha256` of the tar, and the compressed blob), and its volumes by
    mount point, each a compressed tar."""

    snapshot: str
    environment: str
    message: str
    made: str
    allowed: tuple[str, ...] = ()
    sha256: str = ""
    layer: Descriptor | None = None
    volumes: Mapping[str, Descriptor] = dataclasses.field(default_factory=dict)

    def blobs(self) -> tuple[Descriptor, ...]:
        """All that lies beside the recipe."""
        return (*([self.layer] if self.layer else []), *self.volumes.values())

    def text(self) -> bytes:
        """As it stands in the recipe."""
        told = dataclasses.asdict(self) | {
            "format": _FORMAT,
            "layer": self.layer and self.layer.document(),
            "volumes": {mount: one.document() for mount, one in self.volumes.items()},
        }
        return document(told)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read a stranger's. Raises ValueError."""
        told = from_json(data)
        if not isinstance(told, dict) or told.get("format") != _FORMAT:
            raise ValueError("it has another format; a newer devenv made it")
        texts = {name: told.get(name) for name in ("snapshot", "environment", "message", "made", "sha256")}
        allowed, volumes, layer = told.get("allowed"), told.get("volumes"), told.get("layer")
        if (
            not all(isinstance(one, str) for one in texts.values())
            or not isinstance(volumes, dict)
            or not isinstance(allowed, list)
            or not all(isinstance(one, str) for one in allowed)
            or not all(isinstance(mount, str) and _MOUNT.fullmatch(mount) for mount in volumes)
            or (layer is not None and not is_digest(f"sha256:{texts['sha256']}"))
        ):
            raise ValueError("its parts have other types")
        return cls(
            **{name: str(value) for name, value in texts.items()}, allowed=tuple(allowed),
            layer=None if layer is None else _descriptor(layer),
            volumes={mount: _descriptor(one) for mount, one in volumes.items()},
        )  # fmt: skip


def pack(folder: Path, added: Added | None = None) -> bytes:
    """The archive of a folder with `preset.yaml`, its lock and its files. Raises ShareError."""
    import zstandard

    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        if added:
            text = added.text()
            archive.addfile(_member(ADDED, len(text)), io.BytesIO(text))
        for path in sorted(one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()):
            facts = path.stat()
            member = _member(path.relative_to(folder).as_posix(), facts.st_size, runs=bool(facts.st_mode & 0o100))
            with path.open("rb") as content:
                archive.addfile(member, content)
            if plain.tell() > _MOST_PLAIN_BYTES:
                raise ShareError(
                    f"the preset's own files are larger than {_MOST_PLAIN_BYTES >> 20} MiB",
                    hint="keep large files out of 'files:' and 'workspace:', and download them in 'setup:'",
                )
    packed = zstandard.ZstdCompressor(level=_LEVEL, threads=1).compress(plain.getvalue())
    if len(packed) > MOST_BYTES:
        raise ShareError(
            f"the recipe is larger than {MOST_BYTES >> 20} MiB",
            hint="keep large files out of 'files:' and 'workspace:'",
        )
    return packed


def unpack(data: bytes, folder: Path) -> None:
    """Unpack a stranger's archive into `folder`. Raises ShareError."""
    most = _MOST_PLAIN_BYTES + tarfile.RECORDSIZE
    try:
        with members(io.BytesIO(data), "the recipe", hint=_NOT_OURS, most_bytes=most) as every:
            for member, content in every:
                if content is None or not _is_plain(member.name):
                    raise ShareError(
                        f"the recipe holds {member.name[:200]!r}, which no recipe of devenv's has", hint=_NOT_OURS
                    )
                files.write_below(folder, member.name, content.read())
                (folder / member.name).chmod(0o755 if member.mode & 0o100 else 0o644)
    except OSError as error:
        raise ShareError(
            f"the recipe cannot be unpacked: {files.reason(error)}", where=str(folder),
            hint=files.place_hint(error, _NOT_OURS),
        ) from None  # fmt: skip
    if not (folder / PRESET).is_file() or not (folder / LOCK).is_file():
        raise ShareError("the recipe has no preset or no lock", hint=_NOT_OURS)


def added(folder: Path) -> Added | None:
    """What an unpacked recipe has beside preset and lock. Raises ShareError."""
    try:
        return Added.read(files.read(folder / ADDED, most_bytes=_MOST_ADDED_BYTES, inside=folder))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise ShareError(
            f"the recipe's {ADDED} cannot be read: {error}",
            hint="use the devenv version that pushed it, or a newer one",
        ) from None


def _member(name: str, size: int, *, runs: bool = False) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, _TIME_S, 0o755 if runs else 0o644
    return member


def _descriptor(value: Any) -> Descriptor:
    """A descriptor of a compressed tar. Raises ValueError."""
    digest, size, kind = (
        value.get(key) if isinstance(value, dict) else None for key in ("digest", "size", "mediaType")
    )
    if not isinstance(digest, str) or not is_digest(digest) or not isinstance(kind, str):
        raise ValueError("a part has no digest or no media type")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"the size of {digest} is not a number of bytes")
    return Descriptor(media_type=kind, digest=digest, size=size)


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return parts[0] not in (LAYER, VOLUMES) and all(part not in ("", ".", "..") for part in parts) and "\0" not in name
