"""A file's text, with the place of each character."""

from __future__ import annotations

import bisect
import itertools
from pathlib import Path

from devenv.adopt.facts.secret import is_assigned
from devenv.preset.yaml.nodes import Mark


class Document:
    """A text file of the project."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.lines = self.text.split("\n")
        self._starts = [0, *itertools.accumulate(len(line) + 1 for line in self.lines)]

    def mark(self, offset: int) -> Mark:
        """The place of a character."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect.bisect_right(self._starts, offset) - 1
        line = min(line, len(self.lines) - 1)
        return self.at(line + 1, offset - self._starts[line] + 1)

    def at(self, line: int, column: int = 1) -> Mark:
        """A place by numbers that count from 1, kept inside the text. A line with a secret is not shown."""
        line = max(1, min(line, len(self.lines)))
        text = self.lines[line - 1]
        return Mark(path=self.path, line=line, column=max(1, column), text="" if is_assigned(text) else text)

    def line_of(self, line: str, start: int = 0) -> int:
        """Where a whole line stands after `start`; else `start`."""
        found = self.text.find(f"\n{line}\n", start)
        return found + 1 if found >= 0 else start
