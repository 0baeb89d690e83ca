"""One file in several: `NAME.001`, `NAME.002`, … and `NAME.parts.json`, which has the size and sha256 of each."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Self

from devenv.doors import files
from devenv.doors.untrusted import from_json, value_of
from devenv.errors import ShareError
from devenv.share.pack import document

_FORMAT = 1
_SUFFIX = ".parts.json"
_MOST_BYTES = 4 << 20
_PART = re.compile(r"(.+)\.\d{3,6}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part: `name` is its file's."""

    name: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All parts of the file `name`, in order."""

    format: int = _FORMAT
    name: str
    parts: tuple[Part, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an index of parts that is not trusted. Raises ShareError."""
        try:
            found = value_of(cls, from_json(files.read(path, most_bytes=_MOST_BYTES)))
            if found.format != _FORMAT:
                raise ValueError("a newer devenv made it")
            if not found.parts:
                raise ValueError("it names no parts")
            for number, part in enumerate(found.parts, 1):
                if part.name != part_name(found.name, number) or "/" in part.name or part.size < 0:
                    raise ValueError(f"its part {number} has another name or no size")
                if not re.fullmatch(r"[0-9a-f]{64}", part.sha256):
                    raise ValueError(f"its part {number} has no sha256")
        except OSError as error:
            raise ShareError(
                f"cannot read the index of parts: {files.reason(error)}", where=str(path), hint=files.hint(error)
            ) from None
        except ValueError as error:
            raise ShareError(
                f"the index of parts cannot be used: {str(error).splitlines()[0]}", where=str(path),
                hint="copy it again from where the export was made",
            ) from None  # fmt: skip
        return found

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)

    def text(self) -> bytes:
        """The content of the index."""
        return document(dataclasses.asdict(self))

    def named(self, path: Path) -> Part:
        """The part that a file claims to be. Raises ShareError."""
        if found := next((part for part in self.parts if part.name == path.name), None):
            return found
        raise ShareError(f"{path} is not a part of {self.name}", hint=f"its parts: {self.parts[0].name} and so on")


def may_be_part(path: Path) -> bool:
    """Whether a file's name is that of an index, or of a part of a tar."""
    whole = _PART.fullmatch(path.name)
    return path.name.endswith(f".tar{_SUFFIX}") or (whole is not None and whole[1].endswith(".tar"))


def part_name(name: str, number: int) -> str:
    """The name of a part's file."""
    return f"{name}.{number:03d}"


def index_name(name: str) -> str:
    """The name of the index's file."""
    return f"{name}{_SUFFIX}"


def whole_name(path: Path) -> str | None:
    """The name of the file that this one is a part or the index of; None for any other."""
    if path.name.endswith(_SUFFIX):
        return path.name.removesuffix(_SUFFIX)
    match = _PART.fullmatch(path.name)
    return match[1] if match else None


def is_index(path: Path) -> bool:
    """Whether it has the name of an index of parts."""
    return path.name.endswith(_SUFFIX)


def checked(path: Path, part: Part) -> Iterator[bytes]:
    """A part's bytes; the last piece comes after all were found to be right. Raises ShareError."""
    digest, size, last = hashlib.sha256(), 0, b""
    try:
        for chunk in files.chunks(path):
            digest.update(chunk)
            size += len(chunk)
            yield last
            last = chunk
    except OSError as error:
        raise ShareError(f"cannot read the part {path}: {files.reason(error)}", hint=files.hint(error)) from None
    if size != part.size:
        why = f"it is truncated: {size:,} of {part.size:,} bytes" if size < part.size else f"it has {size:,} bytes"
        raise ShareError(f"the part {path} is not used: {why}", hint=f"copy {part.name} again")
    if digest.hexdigest() != part.sha256:
        raise ShareError(f"the part {path} is not used: its content was altered", hint=f"copy {part.name} again")
    yield last


class Splitting:
    """Writes one stream as parts of `size` bytes into a folder; `finish` writes the index."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self._folder = folder
        self._name = name
        self._size = size
        self._parts: list[Part] = []
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, data: bytes) -> None:
        """Write the next bytes. Raises OSError."""
        view = memoryview(data)
        while view:
            if self._file is None:
                self._file = (self._folder / part_name(self._name, len(self._parts) + 1)).open("xb")
            piece = view[: self._size - self._written]
            self._file.write(piece)
            self._digest.update(piece)
            self._written += len(piece)
            view = view[len(piece) :]
            if self._written == self._size:
                self._end()

    def finish(self) -> Sequence[str]:
        """The names of all files, the index last. Raises OSError."""
        if self._written:
            self._end()
        index = Parts(name=self._name, parts=tuple(self._parts))
        files.write_below(self._folder, index_name(self._name), index.text())
        return [*(part.name for part in self._parts), index_name(self._name)]

    def _end(self) -> None:
        assert self._file is not None
        sync(self._file)
        name = part_name(self._name, len(self._parts) + 1)
        self._parts.append(Part(name=name, size=self._written, sha256=self._digest.hexdigest()))
        self._file, self._digest, self._written = None, hashlib.sha256(), 0


def sync(file: IO[bytes]) -> None:
    """Close a file that is on the disk afterwards: a medium may be taken away next. Raises OSError."""
    with file:
        file.flush()
        os.fsync(file.fileno())
