"""The first-stage root: the files of .deb packages in one tar, made without root and without dpkg.

The build unpacks it and then installs the same packages over it, so it only has to be good enough to run dpkg.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from devenv.errors import BuildError

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_LINKS = ("bin", "sbin", "lib", "lib64")
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60


def base_root(packages: Sequence[Path], target: Path) -> None:
    """Write the files of `packages` (.deb, in unpacking order; later ones win) to the tar `target`.

    The same packages give the same bytes: members keep the packages' order, times, modes and numeric owners, and
    `/bin`, `/sbin`, `/lib*` are links into `/usr`. Raises BuildError naming a package that cannot be read.
    """
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as root:
            made = _skeleton(root)
            for package, expanding in _expanded(packages):
                try:
                    _unpack(expanding.result(), root, made)
                except (OSError, EOFError, ValueError, lzma.LZMAError, tarfile.TarError) as error:
                    if isinstance(error, OSError) and error.errno is not None:
                        raise  # the disk's trouble, not the package's
                    raise BuildError(
                        f"cannot unpack {package.name}: {error}", hint="remove it from the store and fetch it again"
                    ) from None
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def data_member(package: bytes) -> tuple[str, bytes]:
    """Name and bytes of a .deb's data archive (an `ar` member, as deb(5) has it). Raises ValueError."""
    if not package.startswith(_AR_MAGIC):
        raise ValueError("not a .deb package")
    offset = len(_AR_MAGIC)
    while header := package[offset : offset + _AR_HEADER_BYTES]:
        if len(header) < _AR_HEADER_BYTES or header[58:60] != b"`\n":
            raise ValueError("the package is damaged")
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        size = int(header[48:58])
        offset += _AR_HEADER_BYTES
        if name.startswith("data.tar"):
            data = package[offset : offset + size]
            if len(data) != size:
                raise ValueError("the package is cut short")
            return name, data
        offset += size + size % 2
    raise ValueError("the package has no data archive")


def _skeleton(root: tarfile.TarFile) -> set[str]:
    """Merged /usr: what every supported release has."""
    made = {"usr"}
    folder = tarfile.TarInfo("usr")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    root.addfile(folder)
    for name in _LINKS:
        folder = tarfile.TarInfo(f"usr/{name}")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        root.addfile(folder)
        made.add(folder.name)
        link = tarfile.TarInfo(name)
        link.type, link.linkname, link.mode = tarfile.SYMTYPE, f"usr/{name}", 0o777
        root.addfile(link)
    return made


def _expanded(packages: Sequence[Path]) -> Iterator[tuple[Path, Future[bytes]]]:
    """Each package with its data archive, decompressed: on every processor, a few ahead of the one that is taken."""
    processors = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(processors) as pool:
        ahead: deque[tuple[Path, Future[bytes]]] = deque()
        for package in packages:
            ahead.append((package, pool.submit(lambda path: _expand(*data_member(path.read_bytes())), package)))
            if len(ahead) > 2 * processors:
                yield ahead.popleft()
        yield from ahead


def _unpack(data: bytes, root: tarfile.TarFile, made: set[str]) -> None:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            plain = member.name.removeprefix("./").strip("/")
            if plain in ("", ".", *_MERGED):
                continue
            member.name = _place(plain)
            if member.isdir() and member.name in made:
                continue
            if member.isdir():
                made.add(member.name)
            if member.islnk():
                member.linkname = _place(member.linkname.removeprefix("./").strip("/"))
            member.uname = member.gname = ""
            member.pax_headers = {}
            root.addfile(member, archive.extractfile(member) if member.isreg() else None)


def _place(name: str) -> str:
    """Where a path of a package lies once /usr is merged."""
    return f"usr/{name}" if name.partition("/")[0] in _MERGED else name


def _expand(name: str, data: bytes) -> bytes:
    if name.endswith(".zst"):
        import zstandard

        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as stream:
            return bytes(stream.read())
    if name.endswith(".xz"):
        return lzma.decompress(data)
    if name.endswith(".gz"):
        return gzip.decompress(data)
    if name.endswith(".bz2"):
        return bz2.decompress(data)
    if name.endswith(".tar"):
        return data
    raise ValueError(f"unknown compression in {name!r}")
