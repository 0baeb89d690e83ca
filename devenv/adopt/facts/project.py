"""The folder that files are read from, and nothing outside it: bounded, regular, in UTF-8, without logins."""

from __future__ import annotations

import re
from pathlib import Path

from devenv.adopt.facts.document import Document
from devenv.doors import files
from devenv.preset.requirements_file import without_logins
from devenv.preset.yaml.nodes import Mark, display
from devenv.preset.yaml.problems import Problems, quote

MOST_BYTES = 16 << 20
"""The size limit of a lock file; other files are smaller by far."""
MOST_FILES = 64

_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")


class Project:
    """A folder of a project. Only this class opens its files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._opened: dict[Path, Document] = {}

    def has(self, name: str) -> bool:
        """Whether a file has that name, relative to the folder."""
        try:
            return (self.root / name).is_file()
        except OSError:
            return False

    def document(self, path: Path, problems: Problems, *, asked: Mark | None = None) -> Document | None:
        """The file's document; None after adding a problem at `asked`, the place that names it."""
        known = self._opened.get(path)
        if known is not None:
            return known
        if len(self._opened) >= MOST_FILES:
            problems.stop(f"more than {MOST_FILES} files name one another", asked)
        try:
            data = files.read(path, most_bytes=MOST_BYTES, inside=self.root)
        except OSError as error:
            hint = files.hint(error) or "correct the path, or name another file"
            problems.add(f"cannot read {display(path)}: {files.reason(error)}", asked, hint=hint)
            return None
        except ValueError:
            problems.add("a path cannot contain a NUL byte", asked)
            return None
        document = decoded(path, data, problems)
        if document is not None:
            self._opened[path] = document
        return document

    def named(self, name: str, by: Path, problems: Problems, asked: Mark) -> Document | None:
        """The document that `name` in the file `by` means; None after adding a problem."""
        place = self.place(name, by)
        if place is None:
            hint = "only files of the project are read: copy it there"
            problems.add(f"{quote(name)} lies outside the project's folder", asked, hint=hint)
            return None
        return self.document(place, problems, asked=asked)

    def place(self, name: str, by: Path) -> Path | None:
        """The path that `name` in the file `by` means; None for one outside the folder."""
        if name.startswith("~") or "\0" in name:
            return None
        try:
            path = (by.parent / name).resolve()
            return path if path.is_relative_to(self.root.resolve()) else None
        except (OSError, RuntimeError):
            return None


def decoded(path: Path, data: bytes, problems: Problems) -> Document | None:
    """A file's bytes as a document; None after adding a problem."""
    try:
        text = data.decode("utf-16") if data.startswith((b"\xff\xfe", b"\xfe\xff")) else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add("not UTF-8 text", Mark(path=path, line=line, column=1), hint="save it with the encoding UTF-8")
        return None
    document = Document(path, without_logins(text))
    if bad := _CONTROL.search(document.text):
        mark = document.mark(bad.start())
        problems.add(f"the character U+{ord(bad[0]):04X} cannot be in a text file", mark, hint="remove it")
        return None
    return document
