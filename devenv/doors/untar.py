"""Files out of an archive that is not trusted: folders and regular files below one place, and nothing else."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from devenv.errors import UsageError

MOST_BYTES = 4 << 30


def unpack(archive: BinaryIO, target: Path, *, source: str) -> None:
    """Unpack a tar whose members lie below one name (or are that one file) to `target`, which must not exist.

    Modes are 0755 or 0644, owners are the user's. Raises UsageError for members that are neither files nor folders;
    `source` says whose archive it is.
    """
    try:
        with tarfile.open(fileobj=archive, mode="r|") as members:
            _unpack(members, target, source)
    except tarfile.TarError as error:
        raise UsageError(f"what {source} has there cannot be read: {error}", hint="run the command again") from None


def _unpack(members: tarfile.TarFile, target: Path, source: str) -> None:
    left = MOST_BYTES
    for member in members:
        parts = PurePosixPath(member.name).parts
        if not parts or parts[0] == "/" or ".." in parts or not (member.isreg() or member.isdir()):
            raise UsageError(
                f"{source} has {member.name!r} there, which is neither a file nor a folder",
                hint="an unchanged image that devenv built has no such entry there",
            )
        path = target.joinpath(*parts[1:])
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        left -= member.size
        if left < 0:
            raise UsageError(
                f"{source} holds more than {MOST_BYTES >> 30} GB there", hint="verify only images that devenv built"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        content = members.extractfile(member)
        assert content is not None
        with path.open("xb") as copy:
            shutil.copyfileobj(content, copy)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)
