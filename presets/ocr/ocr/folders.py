"""Which files of a folder are read, and why the others are not."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from ocr.kinds import IMAGES, PDF, kind

Leave = Callable[[Path, str], None]
_READ_ALREADY = "a link to a folder that is read already"
_IS_OUTPUT = "the folder of the results"
RESULT = "a result of ocr"


class Folder:
    """A folder and all below it, linked folders too, each once. `is_result` tells results of an earlier run by their
    names; what lies below `output` is left out unless the whole folder does. `leave` gets each path that is left out,
    and why."""

    def __init__(self, top: Path, output: Path, is_result: Callable[[Path], bool], leave: Leave) -> None:
        self._top = top
        self._is_result = is_result
        self._leave = leave
        results, whole = output.resolve(), top.resolve()
        # Where results go beside their sources, or above them, each is known by its name alone.
        self._results = None if results == whole or results in whole.parents else results
        self._output = _identity(results) if self._results is not None else None
        self._seen = {_identity(top)}

    def files(self) -> Iterator[Path]:
        """The files to read, unordered. Inaccessible files are included: reading them fails with the reason."""
        folders, links = deque([self._top]), deque[Path]()
        while folders or links:
            folder = folders.popleft() if folders else links.popleft()
            if folder.is_symlink() and folder != self._top and not self._is_new(folder):
                continue
            try:
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError:
                yield folder
                continue
            for entry in entries:
                path = folder / entry.name
                if entry.name.startswith("."):
                    self._leave(path, "hidden")
                elif not _is_folder(entry):
                    yield from self._file(path, is_link=entry.is_symlink())
                elif entry.is_symlink():
                    links.append(path)  # after the folders themselves: these are read under their own names
                elif self._is_new(path):
                    folders.append(path)

    def _is_new(self, folder: Path) -> bool:
        identity = _identity(folder)
        why = _IS_OUTPUT if identity == self._output else _READ_ALREADY if identity in self._seen else None
        if identity is None or why is None:
            self._seen.add(identity)
            return True
        self._leave(folder, why)
        return False

    def _file(self, path: Path, *, is_link: bool) -> Iterator[Path]:
        is_below = is_link and self._results is not None and self._results in path.resolve().parents
        why = RESULT if is_below or self._is_result(path) else _why_not(path)
        if why is None:
            yield path
        else:
            self._leave(path, why)


def _why_not(path: Path) -> str | None:
    """Why a file is no source; None for one that is, and for what cannot be looked at."""
    is_named = path.suffix.lower() in IMAGES | {PDF}
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return "no file: a pipe, a socket or a device"
        if is_named:
            return None
        if status.st_size == 0:
            return "empty"
        return None if kind(path) else "no picture and no PDF"
    except FileNotFoundError:
        return None if is_named else "a link to nothing"
    except OSError:
        return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
