"""The only terminal output: data goes to stdout, everything for people to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from devenv.errors import DevenvError, PresetError

if TYPE_CHECKING:
    from devenv.stages import Stages


class Console:
    """Prints. `live` tells whether stderr is a terminal that can be redrawn; rich is imported only when needed."""

    def __init__(self, *, live: bool = False, colour: bool = False, quiet: bool = False) -> None:
        self.live = live
        self.colour = colour
        self.quiet = quiet

    def data(self, text: str) -> None:
        """What was asked for, on stdout."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def json(self, value: Any) -> None:
        """One JSON document on stdout; escaped where stdout cannot carry a character as it is."""
        text = json.dumps(value, indent=2, ensure_ascii=False)
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            text = json.dumps(value, indent=2)
        self.data(text)

    def note(self, text: str) -> None:
        """A line for people, on stderr; left out when quiet."""
        if not self.quiet:
            self._tell(text)

    def warn(self, text: str) -> None:
        """Something that deserves a look but stops nothing."""
        self._tell(f"{self._paint('warning:', '33')} {text}")

    def error(self, error: DevenvError) -> None:
        """An error as where, what, excerpt and hint; a preset's mistakes one after another."""
        problems = error.problems if isinstance(error, PresetError) and error.problems else (error,)
        for problem in problems:
            where = f"{problem.where}: " if problem.where else ""
            self._tell(f"{self._paint('error:', '31;1')} {where}{problem.message}")
            if problem.detail:
                self._tell("\n".join(f"  {line}" for line in problem.detail.rstrip("\n").splitlines()))
            if problem.hint:
                self._tell(f"{self._paint('hint:', '36')} {problem.hint}")
        if len(problems) > 1:
            self._tell(f"{len(problems)} mistakes")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, stdout: bool = False) -> None:
        """A table; on stdout when it is the answer itself."""
        widths = [max(len(str(row[i])) for row in (columns, *rows)) for i in range(len(columns))]
        lines = [title] if title else []
        lines += [
            "  ".join(str(cell).ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in (columns, *rows)
        ]
        (self.data if stdout else self.note)("\n".join(lines))

    def stages(self) -> Stages:
        """The list of stages of a long command: redrawn on a terminal, timed lines elsewhere."""
        from devenv.stages import Stages

        return Stages(self)

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
