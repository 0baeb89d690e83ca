"""The only terminal output: data goes to stdout, everything for people to stderr."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from devenv.errors import DevenvError, LockError, PresetError

if TYPE_CHECKING:
    from devenv.doors.terminal.stages import Events, Stages


_UNPRINTABLE = re.compile(
    r"(?P<dropped>\x1b\[[0-9;]*m|\r(?=\n|\Z))"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What moves a cursor, commands a terminal, turns the direction of text, or cannot be written. Colours are dropped."""


def printable(text: str, *, one_line: bool = False) -> str:
    """Foreign text made safe for a terminal: control characters are written as `\\x1b`, with `one_line` line ends
    too."""
    shown = _UNPRINTABLE.sub(lambda found: "" if found["dropped"] else _escaped(found[0]), text)
    return shown.replace("\n", "\\n").replace("\t", "\\t") if one_line else shown


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def _json_escaped(characters: str) -> str:
    units = characters.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON in characters that stdout can carry."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


class Console:
    """Prints, and everything through `printable`. `live` tells whether stderr is a terminal that can be redrawn; rich
    is imported only when needed."""

    def __init__(self, *, live: bool = False, colour: bool = False, quiet: bool = False) -> None:
        self.live = live
        self.colour = colour
        self.quiet = quiet
        self._guard = threading.Lock()

    def data(self, text: str) -> None:
        """The requested data, on stdout."""
        shown = printable(text)
        sys.stdout.write(shown if shown.endswith("\n") else shown + "\n")
        sys.stdout.flush()

    def json(self, value: Any) -> None:
        """One JSON document on stdout; escaped where stdout cannot carry a character as it is."""
        self.document(_json_text(value, indent=2))

    def document(self, text: str) -> None:
        """A JSON text on stdout: the same value, with what `printable` would change escaped as JSON does."""
        self.data(_UNPRINTABLE.sub(lambda found: _json_escaped(found[0]), text))

    def note(self, text: str) -> None:
        """A line for people, on stderr; left out when quiet."""
        if not self.quiet:
            self._tell(printable(text))

    def warn(self, text: str) -> None:
        """A warning, which stops nothing."""
        self._tell(f"{self._paint('warning:', '33')} {printable(text)}")

    def error(self, error: DevenvError) -> None:
        """An error as place, message, excerpt and hint; several mistakes one after another."""
        several = error.problems if isinstance(error, PresetError | LockError) else ()
        problems = several or (error,)
        for problem in problems:
            where = f"{printable(problem.where, one_line=True)}: " if problem.where else ""
            self._tell(f"{self._paint('error:', '31;1')} {where}{printable(problem.message)}")
            if problem.detail:
                self._tell("\n".join(f"  {line}" for line in printable(problem.detail).rstrip("\n").split("\n")))
            if problem.hint:
                self._tell(f"{self._paint('hint:', '36')} {printable(problem.hint)}")
        if len(problems) > 1:
            self._tell(f"{len(problems)} mistakes")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, stdout: bool = False) -> None:
        """A table; on stdout when it is the answer itself."""
        rows = [[printable(str(cell), one_line=True) for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
        lines = [title] if title else []
        lines += [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in (columns, *rows)
        ]
        (self.data if stdout else self.note)("\n".join(lines))

    def event(self, values: Mapping[str, Any]) -> None:
        """One JSON object as a line on stdout, at once; any thread may call it."""
        with self._guard:
            self.document(_json_text(values))

    def stages(self, events: Events | None = None) -> Stages:
        """The list of stages of a long command: redrawn on a terminal, timed lines elsewhere. `events` gets all too."""
        from devenv.doors.terminal.stages import Stages

        return Stages(self, events)

    def _paint(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def _tell(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def bytes_text(count: float) -> str:
    """`count` bytes for people, in powers of 1000: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
