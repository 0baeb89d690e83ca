"""Values with positions: a YAML file's values and their places."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

Place = tuple[str | int, ...]
"""A value's place in a preset: keys and list indices from the top."""

_EXCERPT_CHARACTERS = 160
_LOGIN = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")
"""Of an address: it stays in the file alone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in a file. `line` and `column` count from 1; `text` is the line itself, for excerpts."""

    path: Path
    line: int
    column: int
    text: str = dataclasses.field(default="", repr=False, compare=False)

    @property
    def file(self) -> str:
        """The file's name for people: relative when it lies below the current folder."""
        return display(self.path)

    @property
    def where(self) -> str:
        """`file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"

    def excerpt(self) -> str:
        """The line and a caret below the column."""
        start = max(0, self.column - 1 - _EXCERPT_CHARACTERS // 2)
        text = _LOGIN.sub(lambda login: "*" * len(login[0]), self.text)
        shown = "".join(_printable(c) for c in text[start : start + _EXCERPT_CHARACTERS])
        before = "".join(_printable(c) for c in text[start : self.column - 1])
        lead = "…" if start else ""
        number = str(self.line)
        indent = " " * (len(lead) + sum(_width(character) for character in before))
        return f"{number} | {lead}{shown}".rstrip() + f"\n{' ' * len(number)} | {indent}^"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value: a scalar, a tuple of nodes (list) or a dict of nodes (mapping).

    `mark` is where the value stands, `key` where its key does (None for list items and the top); `size` counts the
    values in it, itself included and aliases expanded; `number` is a list item's, from 1, in the list of its own file.
    """

    value: bool | int | str | tuple[Node, ...] | dict[str, Node] | None
    mark: Mark
    key: Mark | None = None
    size: int = 1
    number: int | None = None

    @property
    def place(self) -> Mark:
        """The mark of the whole entry: its key, else the value."""
        return self.key or self.mark

    @property
    def entries(self) -> dict[str, Node]:
        """The mapping's entries; empty when it is not a mapping."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> tuple[Node, ...]:
        """The list's items; empty when it is not a list."""
        return self.value if isinstance(self.value, tuple) else ()

    def plain(self) -> object:
        """The bare data: scalars, tuples and dicts."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return tuple(node.plain() for node in self.value)
        return self.value

    def walk(self, at: Place = ()) -> Iterator[tuple[Place, Node]]:
        """This node and every node in it, with its place."""
        yield at, self
        for key, node in self.entries.items():
            yield from node.walk((*at, key))
        for index, node in enumerate(self.items):
            yield from node.walk((*at, index))

    def at(self, path: Place) -> tuple[Node, Place]:
        """The deepest existing node on the way to `path`, and the rest of the path."""
        node = self
        for depth, step in enumerate(path):
            if isinstance(step, str) and step in node.entries:
                node = node.entries[step]
            elif isinstance(step, int) and 0 <= step < len(node.items):
                node = node.items[step]
            else:
                return node, path[depth:]
        return node, ()


def display(path: Path) -> str:
    """A path for people: relative when it lies below the current folder."""
    try:
        text = str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        text = str(path)
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if character == "\t":
        return " "
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
