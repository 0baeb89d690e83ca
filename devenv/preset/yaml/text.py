"""A preset file's text: read without blocking, bounded, UTF-8 only."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import NoReturn

from devenv.doors import files
from devenv.preset.yaml.nodes import Mark, display
from devenv.preset.yaml.problems import Problems

MAX_BYTES = 1024 * 1024
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
# Characters that YAML allows unescaped, without the byte order mark.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class Source:
    """A file's text and its lines, for positions."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self._lines = _BREAK.split(text)

    def mark(self, line: int, column: int) -> Mark:
        """A mark from zero-based counts, kept inside the text."""
        line = max(0, min(line, len(self._lines) - 1))
        return Mark(path=self.path, line=line + 1, column=column + 1, text=self._lines[line])

    def mark_at(self, offset: int) -> Mark:
        """A mark from a character offset."""
        before = _BREAK.split(self.text[:offset])
        return self.mark(len(before) - 1, len(before[-1]))


def read(path: Path, problems: Problems, *, asked: Mark | None = None, inside: Path | None = None) -> Source:
    """The file's text. `asked` is where another file names it; links may not lead out of `inside`.

    Stops with PresetError when it cannot be read.
    """

    def fail(reason: str, hint: str | None = None) -> NoReturn:
        problems.stop(f"cannot read {display(path)}: {reason}" if asked else reason, asked, hint=hint)

    try:
        with files.opened(path, inside=inside) as file:
            data = file.read(MAX_BYTES + 1)
    except files.RefusedError as error:
        fail(files.reason(error), error.hint)
    except OSError as error:
        reason = files.reason(error)
        fail(reason if asked else f"cannot read the preset: {reason}")
    except ValueError:
        fail("a path cannot contain a NUL byte")
    if len(data) > MAX_BYTES:
        fail(
            "larger than 1 MiB, which no preset is",
            "put data into files of their own and name them under 'files'",
        )
    return _decoded(path, data, problems)


def _decoded(path: Path, data: bytes, problems: Problems) -> Source:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = error.start
        with contextlib.suppress(UnicodeDecodeError):
            offset = len(data[: error.start].decode("utf-8-sig"))
        source = Source(path, data.decode("utf-8-sig", errors="replace"))
        problems.stop("not UTF-8 text", source.mark_at(offset), hint="save the file with the encoding UTF-8")
    source = Source(path, text)
    if bad := _FORBIDDEN.search(text):
        code = ord(bad[0])
        name = "a NUL byte" if code == 0 else f"the control character U+{code:04X}"
        problems.stop(f"{name} cannot be in a preset", source.mark_at(bad.start()), hint="remove it")
    return source
