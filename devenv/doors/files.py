"""Files that others may have written: regular, bounded, inside their folder. Never waits, and opens no device.

The checked file is the file that is read: a descriptor without access (O_PATH) checks it, and the read goes
through the same descriptor, so that a link changed in between has no effect.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path, PurePosixPath

CHUNK_BYTES = 1 << 20
STATE_BYTES = 1 << 20
"""The size limit of devenv's own small files (ports, tokens, reports)."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_REASONS = {
    errno.ENOENT: "the file does not exist",
    errno.EACCES: "no permission to read it",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EISDIR: "it is a folder",
}


class RefusedError(OSError):
    """A file that exists but is not read: `strerror` is the reason, `hint` the remedy."""

    def __init__(self, path: Path, why: str, hint: str) -> None:
        super().__init__(errno.EINVAL, why, str(path))
        self.hint = hint


def reason(error: OSError) -> str:
    """Why a file cannot be read, in words."""
    if isinstance(error, RefusedError):
        return str(error.strerror)
    return _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()


def hint(error: OSError) -> str | None:
    """The remedy, where one is known."""
    return error.hint if isinstance(error, RefusedError) else None


def place_hint(error: OSError, otherwise: str) -> str:
    """What to do about a place that cannot be written: by the error where it says enough, else `otherwise`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free disk space"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"a part of its path is a file, where a folder must be: remove it, or {otherwise}"
    if error.errno == errno.EISDIR:
        return "a folder has that name: move it away"
    return hint(error) or otherwise


def is_there(path: Path) -> bool:
    """Whether anything has that name, even a broken link, a pipe or a device."""
    return os.path.lexists(path)


def is_text(name: str) -> bool:
    """Whether the name of a file is UTF-8, as Docker and YAML need it."""
    try:
        name.encode()
    except UnicodeEncodeError:  # Python represents other bytes as lone surrogates
        return False
    return True


def is_same(one: str, other: Path) -> bool:
    """Whether two paths lead to the same file or folder, also through links and bind mounts."""
    try:
        return Path(one).samefile(other)  # by device and inode
    except OSError:
        return one == str(other)


def opened(path: Path, *, inside: Path | None = None) -> BufferedReader:
    """A regular file, to read. Links may lead to it; with `inside` they may not lead out of that folder.

    Raises RefusedError, OSError.
    """
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if inside is not None:
            _require_inside(place, path, inside)
        mode = os.fstat(place).st_mode
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
            raise RefusedError(path, f"it is {kind}, not a file", "put a regular file there, or remove it")
        descriptor = os.open(_of(place), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        return os.fdopen(descriptor, "rb")
    finally:
        os.close(place)


def read(path: Path, *, most_bytes: int, inside: Path | None = None) -> bytes:
    """A regular file's bytes. Raises RefusedError for one of more than `most_bytes`, and as `opened` does."""
    with opened(path, inside=inside) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise RefusedError(path, f"it is larger than {_size(most_bytes)}", "put a smaller file there, or remove it")
    return data


def read_text(path: Path, *, most_bytes: int = STATE_BYTES, inside: Path | None = None) -> str:
    """A UTF-8 file's text. Raises RefusedError for another encoding, and as `read` does."""
    try:
        return read(path, most_bytes=most_bytes, inside=inside).decode()
    except UnicodeDecodeError:
        raise RefusedError(path, "it is not UTF-8 text", "save it with the encoding UTF-8, or remove it") from None


def chunks(path: Path, *, inside: Path | None = None) -> Iterator[bytes]:
    """A regular file's bytes in pieces, however large it is. Raises as `opened` does."""
    with opened(path, inside=inside) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def sha256(path: Path) -> str:
    """The sha256 (hex) of a regular file's bytes. Raises as `opened` does."""
    import hashlib

    digest = hashlib.sha256()
    for chunk in chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def leads_out(path: Path, inside: Path) -> bool:
    """Whether links on the way to `path` lead out of the folder `inside`."""
    return not _is_inside(os.path.realpath(path), inside)


def write_below(root: Path, name: str, data: bytes, *, is_program: bool = False) -> None:
    """Write a file below the folder `root`, whole or not at all; folders on its way are made.

    What exists already is replaced, a link itself and not what it leads to. Raises RefusedError for a folder on the
    way that is a link out of `root`, OSError.
    """
    root.mkdir(parents=True, exist_ok=True)
    *folders, last = PurePosixPath(name).parts
    with _folder(root, folders) as folder:
        fresh = f".{last}.{os.getpid()}.{threading.get_native_id()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=folder)
        # An existing file or link of that name is never written to.
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(data)
                if is_program:  # by its descriptor: a container may put a link in the name's place
                    os.fchmod(file.fileno(), 0o755)
            os.replace(fresh, last, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(fresh, dir_fd=folder)
            raise


@contextlib.contextmanager
def _folder(root: Path, parts: Sequence[str]) -> Iterator[int]:
    """A descriptor of a folder below `root`, made where it is missing."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    at = os.open(root, flags)
    try:
        for number, part in enumerate(parts, 1):
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=at)
            below = os.open(part, flags, dir_fd=at)
            os.close(at)
            at = below
            _require_inside(at, root.joinpath(*parts[:number]), root)
        yield at
    finally:
        os.close(at)


def _require_inside(descriptor: int, path: Path, inside: Path) -> None:
    if not _is_inside(str(_of(descriptor).readlink()), inside):
        raise RefusedError(
            path, f"it is a link that leads out of {inside}", "replace the link with a copy of its target"
        )


def _is_inside(real: str, inside: Path) -> bool:
    return Path(real).is_relative_to(os.path.realpath(inside))


def _of(descriptor: int) -> Path:
    """The kernel's path for a descriptor."""
    return Path(f"/proc/self/fd/{descriptor}")


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"
