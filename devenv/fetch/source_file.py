"""Source archives of Python packages (sdists), read without unpacking them: what their own files say, with limits."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, BinaryIO, cast

from devenv.fetch.deb_file import Member

KINDS = (".tar.gz", ".zip")
"""The forms of source archives that indexes have (PEP 527)."""
_MOST_BYTES = 4 << 30
_MOST_MEMBERS = 200_000
_MOST_TEXT_BYTES = 4 << 20
_MOST_NAMES = 64 << 20
"""Characters of all names together: packed, they need next to nothing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """An archive's file names, below its one folder, and the texts that were asked for."""

    names: tuple[str, ...]
    texts: Mapping[str, str]


def faults() -> tuple[type[Exception], ...]:
    """The exceptions from reading a damaged archive."""
    return (OSError, EOFError, ValueError, LookupError, RuntimeError, zlib.error, tarfile.TarError, zipfile.BadZipFile)


def read(path: Path, wanted: Collection[str]) -> SourceFile:
    """The names and the texts `wanted` of an archive. Raises one of `faults` for one that is damaged or too large, and
    for members that leave its folder."""
    tops: set[str] = set()
    names: list[str] = []
    texts: dict[str, str] = {}
    left = _MOST_NAMES
    with path.open("rb") as archive:
        is_zip = archive.read(2) == b"PK"
        archive.seek(0)
        for name, content in _zip(archive) if is_zip else _tar(archive):
            left = _limit(0, left - len(name))
            top, _, inner = name.partition("/")
            tops.add(top)
            if len(tops) > 1:
                raise ValueError(f"it has more than one folder: {' and '.join(sorted(tops))}")
            if not inner or content is None:
                continue
            names.append(inner)
            if inner in wanted and inner not in texts:
                data = content.read(_MOST_TEXT_BYTES + 1)
                if len(data) > _MOST_TEXT_BYTES:
                    raise ValueError(f"{inner} is larger than {_MOST_TEXT_BYTES >> 20} MiB")
                texts[inner] = data.decode(errors="replace")
    return SourceFile(names=tuple(names), texts=texts)


def _tar(archive: BinaryIO) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Each member's path, and its content where it is a file."""
    left = _MOST_BYTES
    is_packed = archive.read(2) == b"\x1f\x8b"
    archive.seek(0)
    with (
        gzip.open(archive) if is_packed else contextlib.nullcontext(archive) as plain,
        tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r|", tarinfo=Member) as members,
    ):
        for number, member in enumerate(members):
            left = _limit(number, left - max(member.size, 0))
            members.members = []  # type: ignore[attr-defined]  # tarfile would keep every member
            members.pax_headers = {}  # and would give those that hold for all files to each one
            name = _plain(member.name)
            if name is None:
                continue
            if member.issym() or member.islnk():
                start = posixpath.dirname(name) if member.issym() else ""
                target = posixpath.normpath(posixpath.join(start, member.linkname))
                if member.linkname.startswith("/") or not f"{target}/".startswith(f"{name.partition('/')[0]}/"):
                    raise ValueError(f"{name!r} is a link that leaves its folder")
            elif not (member.isreg() or member.isdir()):
                raise ValueError(f"{name!r} is neither a file nor a folder")
            yield name, members.extractfile(member) if member.isreg() else None


def _zip(archive: BinaryIO) -> Iterator[tuple[str, IO[bytes] | None]]:
    left = _MOST_BYTES
    with zipfile.ZipFile(archive) as members:
        for number, member in enumerate(members.infolist()):
            left = _limit(number, left - member.file_size)
            name = _plain(member.filename)
            if name is None:
                continue
            if member.is_dir():
                yield name, None
                continue
            with members.open(member) as content:
                yield name, content


def _plain(name: str) -> str | None:
    """A member's path without `./`; None for the archive's top. Raises ValueError for a path that leaves it."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts:
        raise ValueError(f"{name!r} leaves its folder")
    return "/".join(parts) or None


def _limit(number: int, left: int) -> int:
    if number >= _MOST_MEMBERS or left < 0:
        raise ValueError("it holds more than the source of a package does")
    return left
