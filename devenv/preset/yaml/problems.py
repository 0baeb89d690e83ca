"""The mistakes of a preset, gathered so that a user sees all of them at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from devenv.errors import PresetError
from devenv.preset.yaml.nodes import Mark, display

_SHOWN = 100


class Problems:
    """Gathers mistakes; `check` raises one PresetError that carries each as its own error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, str], tuple[Mark | None, PresetError]] = {}
        self._files: dict[Path, int] = {path: 0}
        self._left_out = 0

    def __len__(self) -> int:
        return len(self._found) + self._left_out

    @property
    def full(self) -> bool:
        """Whether the limit is reached: further mistakes are only counted, so they need no hints."""
        return len(self._found) >= _SHOWN

    def add(self, message: str, mark: Mark | None, *, hint: str | None = None) -> None:
        """One mistake at `mark` (None: the file as a whole)."""
        if self.full:
            self._left_out += 1
            return
        where = mark.where if mark else display(self._path)
        detail = mark.excerpt() if mark else None
        if mark:
            self._files.setdefault(mark.path, len(self._files))
        error = PresetError(message, where=where, detail=detail, hint=hint)
        self._found.setdefault((message, where), (mark, error))

    def stop(self, message: str, mark: Mark | None, *, hint: str | None = None) -> NoReturn:
        """A mistake that ends the check: raises it with those gathered before."""
        self.add(message, mark, hint=hint)
        raise self.error()

    def check(self) -> None:
        """Raises PresetError when there is any mistake."""
        if self._found:
            raise self.error()

    def error(self) -> PresetError:
        """All mistakes as one error; with exactly one, that mistake's own text."""
        ranked = sorted(self._found.values(), key=lambda found: self._rank(found[0]))
        problems = tuple(error for _, error in ranked)
        if len(problems) == 1 and not self._left_out:
            only = problems[0]
            return PresetError(only.message, where=only.where, detail=only.detail, hint=only.hint, problems=problems)
        if self._left_out:
            problems += (PresetError(f"and {self._left_out} more mistakes", where=display(self._path)),)
        return PresetError(f"{len(self)} mistakes in {display(self._path)}", problems=problems)

    def _rank(self, mark: Mark | None) -> tuple[int, int, int]:
        return (self._files[mark.path], mark.line, mark.column) if mark else (-1, 0, 0)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """`did you mean 'x'?` for the most similar known word, None when nothing is similar."""
    if len(word) > 100:
        return None
    spelled = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), spelled, n=1)
    close = close or difflib.get_close_matches(word.lower(), spelled, n=1)
    return f"did you mean '{spelled[close[0]]}'?" if close else None


def given(value: object) -> str:
    """The user's value, in words: `'text'`, `the number 5`, `a list` …"""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return f"the number {value}"
        case str():
            return quote(value)
        case tuple() | list():
            return "a list"
        case _:
            return "a mapping"


def quote(text: str) -> str:
    """Text in quotes, shortened, with control characters escaped."""
    return f"'{plain(text)}'"


def plain(text: str) -> str:
    """As `quote`, without the quotes."""
    short = text if len(text) <= 60 else text[:57] + "…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in short)
