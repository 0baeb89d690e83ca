"""The first-stage root: the files of .deb packages in one tar, made without root and without dpkg.

The build unpacks it and then installs the same packages over it, so it only has to be good enough to run dpkg.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, cast

from devenv.errors import BuildError
from devenv.fetch.deb_file import Member, expanded, faults

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_LINKS = ("bin", "sbin", "lib", "lib64")
# A correct hash does not limit the unpacked size: 400 kB can be 3 GB of zeros.
_MOST_BYTES = 1 << 30
_MOST_MEMBERS = 200_000
_IN_MEMORY_BYTES = 64 << 20
"""Limit for packages decompressed ahead; the others are kept on the disk, beside the tar."""


def base_root(packages: Sequence[Path], target: Path) -> None:
    """Write the files of `packages` (.deb, in unpacking order; later ones win) to the tar `target`.

    The same packages give the same bytes: members keep the packages' order, times, modes and numeric owners, and
    `/bin`, `/sbin`, `/lib*` are links into `/usr`. Raises BuildError naming a package that cannot be read.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(
        f".{target.name}.{os.getpid()}"
    )  # this module also runs without devenv, in the online build
    try:
        with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as root:
            made = _skeleton(root)
            for package, expanding in _expanded(packages, target.parent):
                try:
                    with expanding.result() as data:
                        _unpack(data, root, made)
                except faults() as error:
                    if isinstance(error, OSError) and error.errno is not None:
                        raise  # a fault of the disk, not of the package
                    raise BuildError(
                        f"cannot unpack {package.name}: {error}", hint="remove it from the store and fetch it again"
                    ) from None
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _skeleton(root: tarfile.TarFile) -> set[str]:
    """The links of a merged /usr, which every supported release has."""
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


def _expanded(packages: Sequence[Path], folder: Path) -> Iterator[tuple[Path, Future[IO[bytes]]]]:
    """Each package with its data archive, decompressed: on every processor, a few ahead of the current one.

    Each is in memory while it is small; what is larger lies in `folder`, without a name.
    """
    processors = len(os.sched_getaffinity(0))
    most = _IN_MEMORY_BYTES // (3 * processors + 1)
    with ThreadPoolExecutor(processors) as pool:
        ahead: deque[tuple[Path, Future[IO[bytes]]]] = deque()
        try:
            for package in packages:
                ahead.append((package, pool.submit(_spooled, package, folder, most)))
                if len(ahead) > 2 * processors:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            for _, expanding in ahead:
                expanding.cancel()


def _spooled(package: Path, folder: Path, most_in_memory: int) -> IO[bytes]:
    """The data archive of a package as a plain tar, from its beginning. Raises ValueError, OSError, LZMAError."""
    spool = cast("IO[bytes]", tempfile.SpooledTemporaryFile(most_in_memory, dir=str(folder)))  # noqa: SIM115
    try:
        with package.open("rb") as file:
            left = _MOST_BYTES
            for chunk in expanded(file, "data.tar"):
                left -= len(chunk)
                if left < 0:
                    raise ValueError(f"it unpacks to more than {_MOST_BYTES >> 30}GiB, more than any package of a base")
                spool.write(chunk)
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    return spool


def _unpack(data: IO[bytes], root: tarfile.TarFile, made: set[str]) -> None:
    left, members = _MOST_BYTES, _MOST_MEMBERS
    with tarfile.open(fileobj=data, mode="r:", tarinfo=Member) as archive:
        while (member := archive.next()) is not None:
            for tar in (archive, root):
                cast("Any", tar).members.clear()  # tarfile would keep every member
            left, members = left - member.size, members - 1
            if left < 0 or members < 0:
                raise ValueError("it holds more than a package of a base does")
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
