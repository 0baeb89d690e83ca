"""The metadata in a package file, compared with its lock entry, because the bill of materials must be right."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.parser import HeaderParser
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, cast

from devenv.errors import LockError
from devenv.fetch import deb_file, source_file, vsix_file
from devenv.fetch.store import Store
from devenv.lock.model import Artifact, Deb, Lock

Kind = Literal["deb", "wheel", "source", "tarball", "extension", "release"]
_MOST_BYTES = 2 << 30
"""The limit for an archive's unpacked beginning, up to the file with the name. It is read in pieces."""
_MOST_TEXT_BYTES = 16 << 20
"""Of that file itself, and of a header."""
_MOST_MEMBERS = 100_000
_CHUNK_BYTES = 1 << 18


def claims(lock: Lock) -> Iterator[tuple[Artifact, Kind]]:
    """Each file of the lock with its kind; a file that is named twice comes twice."""
    editor = lock.editor
    for debs in lock.debs().values():
        yield from ((deb, "deb") for deb in debs)
    yield from ((wheel, "wheel") for wheel in lock.every_wheel)
    yield from ((source, "source") for source in lock.sourced if not source.commit)
    yield from ((tarball, "tarball") for tarball in (*lock.npm.packages, *(editor.packages if editor else ())))
    if editor:
        yield editor.archive, "tarball" if editor.source == "npm" else "release"
    yield from ((extension, "extension") for extension in lock.extensions)


def check_all(lock: Lock, store: Store) -> None:
    """Check every file of a lock, all in the store; once, whichever locks have it. Raises LockError."""

    def check_each(note: Path) -> None:
        known: set[str] = set()
        for other in store.every_kept("declared"):
            with contextlib.suppress(OSError):  # removed meanwhile
                known.update(other.read_text().split())
        wanted = {_key(artifact, kind): (artifact, kind) for artifact, kind in claims(lock)}
        new = [claim for key, claim in wanted.items() if key not in known]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(lambda claim: check(claim[0], claim[1], store.path(claim[0].sha256)), new))
        note.write_text("".join(f"{key}\n" for key in sorted(wanted)))

    store.derive("declared", lock.digest, check_each)


def _key(artifact: Artifact, kind: Kind) -> str:
    """Stands for a file's content and all that a lock says of it."""
    said = (kind, artifact.sha256, artifact.name, artifact.version, artifact.arch if isinstance(artifact, Deb) else "")
    return hashlib.sha256("\0".join(said).encode()).hexdigest()


def check(artifact: Artifact, kind: Kind, path: Path) -> None:
    """Compare name and version (and a Debian package's architecture). Raises LockError when they differ."""
    try:
        found = _READERS[kind](path)
        if not all(isinstance(value, str) for value in found):
            raise ValueError("it does not contain its name")
        forms = tuple(map(_FORMS[kind], found))
    except _faults() as error:
        raise LockError(
            f"{artifact.file} cannot be read as {_WORDS[kind]}",
            detail=f"{type(error).__name__}: {error}", hint="pin the right file",
        ) from None  # fmt: skip
    wanted = (artifact.name, artifact.version, *((artifact.arch,) if isinstance(artifact, Deb) else ()))
    if forms != tuple(map(_FORMS[kind], wanted)):
        raise LockError(
            f"{artifact.file} is {' '.join(found)}, and not {' '.join(wanted)}",
            hint="correct the name and version, or pin the right file",
        )


def _faults() -> tuple[type[Exception], ...]:
    # RuntimeError: from deep JSON, and from zipfile for passwords and unknown compression.
    return (*deb_file.faults(), TypeError, LookupError, RuntimeError, zipfile.BadZipFile)


def _deb(path: Path) -> tuple[str, ...]:
    """Package, Version and Architecture of the control file, as deb(5) has it."""
    with path.open("rb") as handle:
        text = _in_tar(deb_file.expanded(handle, "control.tar"), r"(\./)?control")
    control = HeaderParser().parsestr(text.decode())
    return control["Package"], control["Version"], control["Architecture"]


def _wheel(path: Path) -> tuple[str, ...]:
    """Name and Version of METADATA, as the core metadata specification has them."""
    metadata = HeaderParser().parsestr(_metadata(path))
    return metadata["Name"], metadata["Version"]


def _metadata(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        found = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        return _in_zip(archive, found[0]).decode(errors="replace")


def wheel_metadata(path: Path) -> str:
    """The METADATA of a wheel. Raises LockError for a damaged one."""
    try:
        return _metadata(path)
    except _faults() as error:
        raise LockError(
            f"{path.name} cannot be read as a Python wheel: {error}", hint="run the command again"
        ) from None


def wheel_version(path: Path) -> str:
    """The version that a wheel has. Raises LockError for a damaged one."""
    return HeaderParser().parsestr(wheel_metadata(path))["Version"] or ""


def _source(path: Path) -> tuple[str, ...]:
    """Name and Version of the PKG-INFO in the archive's one folder."""
    found = source_file.read(path, ("PKG-INFO",))
    metadata = HeaderParser().parsestr(found.texts["PKG-INFO"])
    return metadata["Name"], metadata["Version"]


def _tarball(path: Path) -> tuple[str, ...]:
    """Name and version of the package.json in the archive's one folder."""
    with gzip.open(path) as stream:
        package = json.loads(_in_tar(iter(lambda: stream.read(_CHUNK_BYTES), b""), r"(\./)?[^/]+/package\.json"))
    return package["name"], package["version"]


def _extension(path: Path) -> tuple[str, ...]:
    """PUBLISHER.NAME and version of the extension's package.json."""
    found = vsix_file.manifest(path)
    return found.id, found.version


def _in_zip(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST_TEXT_BYTES:
        raise ValueError(f"{name} is too large")
    with archive.open(name) as file:
        return file.read(_MOST_TEXT_BYTES)


def _in_tar(pieces: Iterator[bytes], pattern: str) -> bytes:
    stream = cast("BinaryIO", _Short(pieces))
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=deb_file.Member) as archive:
        for member in islice(archive, _MOST_MEMBERS):  # tarfile keeps every member that it has read
            if re.fullmatch(pattern, member.name) and (file := archive.extractfile(member)):
                if member.size > _MOST_TEXT_BYTES:
                    raise ValueError(f"{member.name} is too large")
                return bytes(file.read())
    raise ValueError("it does not contain its name")


class _Short:
    """Pieces as a stream, with an error above a limit that no name needs."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._left = _MOST_BYTES

    def read(self, size: int) -> bytes:
        """The next bytes. Raises ValueError past the limit."""
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._left -= len(piece)
            if self._left < 0:
                raise ValueError("it is too large")
            self._rest += piece
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def _canonical(text: str) -> str:
    from packaging.utils import canonicalize_name, canonicalize_version

    return canonicalize_version(text) if text[:1].isdigit() else canonicalize_name(text)


_READERS: Mapping[Kind, Callable[[Path], tuple[str, ...]]] = {
    "deb": _deb, "wheel": _wheel, "source": _source, "tarball": _tarball, "release": _tarball, "extension": _extension,
}  # fmt: skip
_FORMS: Mapping[Kind, Callable[[str], str]] = {
    "deb": str, "wheel": _canonical, "source": _canonical,
    "tarball": lambda text: text.partition("+")[0],  # registries leave build words out
    "release": str, "extension": str.lower,
}  # fmt: skip
_WORDS = {
    "deb": "a Debian package", "wheel": "a Python wheel",
    "source": "the source of a Python package", "tarball": "an npm package",
    "release": "a release of code-server", "extension": "an editor extension",
}  # fmt: skip
